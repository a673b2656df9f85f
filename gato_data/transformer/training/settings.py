"""What a training was asked for: what decides the weights, and what only decides what is kept."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gato_data.errors import UsageError

# Of the paper (appendix D).
PAPER_WARMUP = 15_000
# A shorter training than the paper's has a shorter warm-up: no more than this share of its steps.
_WARMUP_SHARE = 10
_DECAYS = ("cosine", "none")


@dataclass(frozen=True)
class TrainingConfig:
    """What decides the weights, beside the model and the data. A run has one, for good.

    Attributes:
      steps: updates of the weights, of the whole training; the learning rate decays over them.
      batch: sequences of an update, of all devices together.
      rate: peak learning rate.
      warmup: steps of the warm-up; None: the paper's 15,000, but at most a tenth of all.
      decay: "cosine", to a tenth of the peak; "none", as in the paper's fine-tuning (appendix E).
      weight_decay: of AdamW.
      clip: largest global norm of the gradient; None: it is not clipped, of which the paper says
        nothing.
      seed: of the weights, of the order of the data and of what training draws.
    """

    steps: int
    batch: int
    rate: float
    warmup: int | None = None
    decay: str = "cosine"
    weight_decay: float = 0.1
    clip: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuses what makes no training.

        Raises:
          UsageError: names the field and what would be right.
        """
        for name in ("steps", "batch"):
            _require(name, getattr(self, name), _is_integer(getattr(self, name), 1), "at least 1")
        _require("rate", self.rate, _is_number(self.rate) and self.rate > 0, "a positive number")
        fits = self.warmup is None or (_is_integer(self.warmup, 0) and self.warmup < self.steps)
        _require("warmup", self.warmup, fits, f"from 0 to less than the {self.steps} steps")
        _require("decay", self.decay, self.decay in _DECAYS, f"one of {', '.join(_DECAYS)}")
        decays = _is_number(self.weight_decay) and self.weight_decay >= 0
        _require("weight_decay", self.weight_decay, decays, "0 or more")
        clips = self.clip is None or (_is_number(self.clip) and self.clip > 0)
        _require("clip", self.clip, clips, "a positive number")
        _require("seed", self.seed, _is_integer(self.seed, 0) and self.seed < 1 << 32, "in 32 bits")

    @property
    def warmup_steps(self) -> int:
        """Steps of the warm-up."""
        if self.warmup is not None:
            return self.warmup
        return min(PAPER_WARMUP, self.steps // _WARMUP_SHARE)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "TrainingConfig":
        """The inverse of `to_json`. Raises UsageError: a field is missing, unknown or wrong."""
        fields = {field.name for field in dataclasses.fields(cls)}
        if set(given) != fields:
            wrong = ", ".join(sorted(set(given) ^ fields))
            raise UsageError(f"training: {wrong} is missing or unknown.")
        return cls(**given)


@dataclass(frozen=True)
class Habits:
    """What may change while a run goes on: it decides nothing about its weights.

    Attributes:
      checkpoint_every: steps between checkpoints, and between evaluations of the validation split.
      keep: checkpoints kept beside the best, the last ones.
      log_every: steps between lines of the log.
      validation_batches: of an evaluation, at most.
      model_parallel: devices that share each layer; the others share the batch.
      fsdp: whether the devices that share the batch share the weights, too.
    """

    checkpoint_every: int = 1000
    keep: int = 3
    log_every: int = 10
    validation_batches: int = 32
    model_parallel: int = 1
    fsdp: bool = False

    def __post_init__(self) -> None:
        """Refuses numbers below one. Raises UsageError."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name != "fsdp":
                _require(field.name, value, _is_integer(value, 1), "at least 1")


def _is_integer(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _require(name: str, value: Any, holds: bool, wanted: str) -> None:
    if not holds:
        raise UsageError(f"training: {name} is {value!r}, but must be {wanted}.")
