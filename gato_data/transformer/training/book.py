"""The accounts of a training: losses of steps as they end, speed, and what is told of both."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import jax
import numpy as np

from gato_data.errors import GatoDataError
from gato_data.storage import files
from gato_data.transformer.training.checkpoints import Standing
from gato_data.transformer.training.logs import Log, Sums
from gato_data.transformer.training.progress import Watcher
from gato_data.transformer.training.runs import Run
from gato_data.transformer.training.settings import Habits
from gato_data.transformer.training.step import Metrics
from gato_data.transformer.training.utilisation import Work, training_flops, utilisation

BAD_BATCH = "non_finite.json"
# Ids that the message of a loss that is not finite names; all of them stand in the file.
_NAMED = 4


@dataclass(frozen=True)
class Done:
    """A step that was begun.

    Attributes:
      step: its number, from 1 on.
      ids: of the sequences of this host.
      work: of this host.
      metrics: of the step, maybe still being computed.
    """

    step: int
    ids: tuple[str, ...]
    work: Work
    metrics: Metrics


class Book:
    """Sums up steps, and tells the log and whoever watches.

    Attributes:
      since: losses since the last checkpoint that was compared.
      latest: the last entry on training steps.
    """

    def __init__(
        self, run: Run, habits: Habits, log: Log, watch: Watcher, standing: Standing
    ) -> None:
        self._run, self._habits, self._log, self._watch = run, habits, log, watch
        self.since = Sums(*standing.since)
        self.latest: dict[str, Any] = {}
        self._sums, self._metrics = Sums(), dict[str, Any]()
        # Work since the clock was started; the first step, which is compiled, starts it.
        self._began: float | None = None
        self._timed, self._steps = Work(), 0

    def enter(self, done: Done) -> None:
        """Waits for a step and adds it up; writes an entry where one is due.

        Raises:
          GatoDataError: its loss or its gradient is not finite.
        """
        found = {name: np.asarray(value) for name, value in jax.device_get(done.metrics).items()}
        if not (np.isfinite(found["loss"]) and np.isfinite(found["gradient_norm"])):
            self.refuse(
                done,
                f"the loss is {found['loss']} and the norm of its gradient "
                f"{found['gradient_norm']}, on",
            )
        self._metrics = found
        self._sums.add(found, done.work)
        self.since.add(found, done.work)
        if self._began is None:
            self._began = time.monotonic()
        else:
            self._timed += done.work
            self._steps += 1
        if done.step % self._habits.log_every == 0:
            self.write(done.step)

    def write(self, step: int) -> None:
        """Writes an entry of the steps since the last one, if there are any."""
        if not self._sums.work.tokens and not self._sums.targets:
            return
        entry = self._sums.describe(self._run.datasets)
        entry["rate"] = float(self._metrics["rate"])
        entry["gradient_norm"] = float(self._metrics["gradient_norm"])
        entry |= self._speed(step)
        self._sums, self.latest = Sums(), entry
        self.tell(step, entry)

    def tell(self, step: int, entry: Mapping[str, Any]) -> None:
        """Tells the log and whoever watches."""
        self._log.write(step, entry)
        self._watch.show(step, entry)

    def restart(self) -> None:
        """After a checkpoint that was compared: its time is no time of training."""
        self.since = Sums()
        self._began = time.monotonic()
        self._timed, self._steps = Work(), 0

    def _speed(self, step: int) -> dict[str, float | None]:
        """Tokens of all hosts a second, utilisation, and the time left."""
        if self._began is None or not self._steps:
            return {"tokens_per_second": None, "utilisation": None, "seconds_left": None}
        seconds = time.monotonic() - self._began
        device = jax.local_devices()[0]
        flops = training_flops(self._run.model, self._timed)
        left = (self._run.training.steps - step) * seconds / self._steps
        found = {
            "tokens_per_second": self._timed.tokens * jax.process_count() / seconds,
            "utilisation": utilisation(
                flops, seconds, device.device_kind, jax.local_device_count()
            ),
            "seconds_left": left,
        }
        # The next entry is of its own steps.
        self._began, self._timed, self._steps = time.monotonic(), Work(), 0
        return found

    def refuse(self, done: Done, what: str) -> NoReturn:
        """Stops a training at a step that went wrong, naming its batch.

        Args:
          done: the step.
          what: what is wrong, as a beginning of "… the sequences".

        Raises:
          GatoDataError: always.
        """
        path = files.join(self._run.directory, BAD_BATCH)
        if jax.process_index() == 0:
            told = {"step": done.step, "what": what, "sequences": list(done.ids)}
            files.publish_bytes(path, json.dumps(told, indent=1).encode())
        more = f" and {len(done.ids) - _NAMED} more" if len(done.ids) > _NAMED else ""
        raise GatoDataError(
            f"{self._run.directory}: at step {done.step} {what} the sequences "
            f"{', '.join(done.ids[:_NAMED])}{more} ({path} names all). What checkpoints there are "
            "are from before it. An id begins with its data set, of which `gato-data inspect` "
            "shows sequences; if they are sound, train anew with a lower --rate or with --clip 1."
        )
