"""How far a training is, for whoever watches: a bar on a terminal, lines in a pipe."""

import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

# In a pipe a line is printed at most so often.
_LINE_SECONDS = 10.0


class Watcher(Protocol):
    """Is told how a training goes."""

    def __enter__(self) -> "Watcher": ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def show(self, step: int, entry: Mapping[str, Any]) -> None:
        """Is told each entry of the log: `loss` or `validation`, `tokens_per_second`, …"""


class Silent:
    """Shows nothing."""

    def __enter__(self) -> "Silent":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, step: int, entry: Mapping[str, Any]) -> None:
        pass


class Lines:
    """Prints a line now and then, and always of an evaluation and of the last step."""

    def __init__(self, stream: TextIO, steps: int, every: float = _LINE_SECONDS) -> None:
        self._stream, self._steps, self._every = stream, steps, every
        self._last = -every

    def __enter__(self) -> "Lines":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, step: int, entry: Mapping[str, Any]) -> None:
        now = time.monotonic()
        is_due = now - self._last >= self._every or step >= self._steps or "validation" in entry
        if is_due:
            self._last = now
            self._stream.write(describe(step, self._steps, entry) + "\n")
            self._stream.flush()


class Bar:
    """A bar that grows on a terminal, with the latest figures; evaluations stay above it."""

    def __init__(self, stream: TextIO, steps: int) -> None:
        self._steps = steps
        self._progress = Progress(
            BarColumn(bar_width=20),
            TaskProgressColumn(),
            TextColumn("{task.description}", markup=False),
            console=Console(file=stream),
        )
        self._task = self._progress.add_task("compiling the first step", total=steps)

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, step: int, entry: Mapping[str, Any]) -> None:
        line = describe(step, self._steps, entry)
        if "validation" in entry:
            self._progress.console.print(line, markup=False, highlight=False)
        else:
            self._progress.update(self._task, completed=step, description=line)


def watcher(stream: TextIO, steps: int) -> Watcher:
    """What shows the progress of so many steps on a stream."""
    return Bar(stream, steps) if stream.isatty() else Lines(stream, steps)


def describe(step: int, steps: int, entry: Mapping[str, Any]) -> str:
    """One line, such as `step 200/1000, loss 2.314, 81.2 k tokens/s, 41.3 % of peak, 0:31 left`."""
    parts = [f"step {step}/{steps}"]
    for name, losses in (("loss", entry), ("validation loss", entry.get("validation", {}))):
        if losses.get("loss") is not None:
            parts.append(f"{name} {losses['loss']:.4f}")
    if entry.get("tokens_per_second"):
        parts.append(f"{_short(entry['tokens_per_second'])} tokens/s")
    if entry.get("utilisation") is not None:
        parts.append(f"{100 * entry['utilisation']:.1f} % of peak")
    if entry.get("seconds_left") is not None and step < steps:
        parts.append(f"{_duration(entry['seconds_left'])} left")
    return ", ".join(parts)


def _short(number: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number:.0f}"


def _duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03 or 2:03."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"
