"""What a training tells: one line of JSON for each logged step, and TensorBoard."""

import json
import os
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from gato_data.storage import files
from gato_data.transformer.loss import ROLES
from gato_data.transformer.training.utilisation import Work

LOG, TENSORBOARD = "log.jsonl", "tensorboard"


@dataclass
class Sums:
    """Sums of `loss_parts` over some steps, which become means."""

    loss: float = 0.0
    targets: float = 0.0
    role_loss: Any = 0.0
    role_targets: Any = 0.0
    dataset_loss: Any = 0.0
    dataset_targets: Any = 0.0
    work: Work = field(default_factory=Work)

    def add(self, parts: Mapping[str, Any], work: Work) -> None:
        """Adds a batch."""
        for name in ("loss", "targets"):
            setattr(self, name, getattr(self, name) + float(parts[name]))
        for name in ("role_loss", "role_targets", "dataset_loss", "dataset_targets"):
            setattr(self, name, getattr(self, name) + np.asarray(parts[name], np.float64))
        self.work += work

    @property
    def mean(self) -> float | None:
        """Loss of a target, in nats; None where there was none."""
        return self.loss / self.targets if self.targets else None

    def describe(self, datasets: Sequence[str]) -> dict[str, Any]:
        """The mean losses, of all targets and of those of each role and data set that had some."""
        return {
            "loss": self.mean,
            "roles": _means(ROLES, self.role_loss, self.role_targets),
            "datasets": _means(datasets, self.dataset_loss, self.dataset_targets),
            "targets": int(self.targets),
        }


def _means(names: Sequence[str], losses: Any, targets: Any) -> dict[str, float]:
    return {
        name: float(loss / count)
        for name, loss, count in zip(
            names, np.atleast_1d(losses), np.atleast_1d(targets), strict=False
        )
        if count
    }


class Log:
    """`log.jsonl` and TensorBoard of a run; silent where another process writes them."""

    def __enter__(self) -> "Log":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __init__(self, run: str, step: int, is_writer: bool = True) -> None:
        """Opens the log to go on after a step; drops lines of later ones, which come again."""
        self._file = self._board = None
        if not is_writer:
            return
        from tensorboardX import SummaryWriter

        path = os.path.join(run, LOG)
        files.publish_bytes(path, _until(path, step))
        self._file = open(path, "ab", buffering=0)  # noqa: SIM115
        # Events of later steps are dropped by TensorBoard, too.
        self._board = SummaryWriter(
            os.path.join(run, TENSORBOARD),
            purge_step=step + 1,
            # Names of events have seconds alone, and two calls may begin in one.
            filename_suffix=f".{step}-{uuid.uuid4().hex[:8]}",
        )

    def write(self, step: int, entry: Mapping[str, Any]) -> None:
        """Writes a line, and all its numbers to TensorBoard by their path."""
        if self._file is None or self._board is None:
            return
        line = json.dumps({"step": step, **entry}) + "\n"
        self._file.write(line.encode())
        for name, value in _numbers("", entry):
            self._board.add_scalar(name, value, step)

    def close(self) -> None:
        if self._file is not None and self._board is not None:
            self._file.close()
            self._board.close()


def _until(path: str, step: int) -> bytes:
    """The whole lines of a log up to a step."""
    if not os.path.exists(path):
        return b""
    kept = []
    for line in files.read_bytes(path).splitlines(keepends=True):
        try:
            if not line.endswith(b"\n") or json.loads(line)["step"] > step:
                break
        except (ValueError, KeyError, TypeError):
            break
        kept.append(line)
    return b"".join(kept)


def _numbers(prefix: str, entry: Mapping[str, Any]) -> list[tuple[str, float]]:
    found: list[tuple[str, float]] = []
    for name, value in entry.items():
        if isinstance(value, Mapping):
            found += _numbers(f"{prefix}{name}/", value)
        elif isinstance(value, int | float):
            found.append((f"{prefix}{name}", float(value)))
    return found
