"""The learning rate of each step (appendix D): a linear warm-up, then a cosine to a tenth."""

import math
from typing import Any

import keras
from keras import ops

from gato_data.transformer.training.settings import TrainingConfig

# Of the paper: where the warm-up begins, and the share of the peak that the cosine ends with.
FIRST_RATE = 1e-7
LAST_SHARE = 0.1


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """The rate of step i, counted from 0.

    The warm-up goes from 1e-7 at step 0 to the peak at step `warmup`. The cosine goes on from there
    and would be at a tenth of the peak at step `steps`, the first that is not trained.
    """

    def __init__(self, peak: float, steps: int, warmup: int, decay: str = "cosine") -> None:
        self._peak, self._steps, self._warmup, self._decay = peak, steps, warmup, decay

    def __call__(self, step: Any) -> Any:
        """float32 [], of an integer or an array []."""
        step = ops.cast(step, "float32")
        rising = FIRST_RATE + (self._peak - FIRST_RATE) * step / max(self._warmup, 1)
        lasting = self._peak
        if self._decay == "cosine":
            done = (step - self._warmup) / (self._steps - self._warmup)
            wave = (1 + ops.cos(math.pi * ops.clip(done, 0.0, 1.0))) / 2
            lasting = self._peak * (LAST_SHARE + (1 - LAST_SHARE) * wave)
        return ops.where(step < self._warmup, rising, lasting)

    def get_config(self) -> dict[str, Any]:
        return {
            "peak": self._peak,
            "steps": self._steps,
            "warmup": self._warmup,
            "decay": self._decay,
        }


def schedule(config: TrainingConfig) -> Schedule:
    """The schedule of a training."""
    return Schedule(config.rate, config.steps, config.warmup_steps, config.decay)
