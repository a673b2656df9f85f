"""Progress of long work: what is done, how fast, and how long it will take."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TextIO

# A terminal line is redrawn this often; elsewhere (a pipe, CI) a new line is printed more rarely.
_REDRAW_SECONDS = 0.5
_LINE_SECONDS = 10.0


class Progress:
    """Prints one line that grows: redrawn in place on a terminal, else a line now and then."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    @classmethod
    def silent(cls) -> "Progress":
        return cls(None)

    @classmethod
    def to_stderr(cls) -> "Progress":
        return cls(sys.stderr)

    @contextlib.contextmanager
    def watch(
        self, what: str, total: int, done: Callable[[], int], tokens_each: float = 0.0
    ) -> Iterator[None]:
        """Shows the progress of the work inside the `with` block.

        Args:
          what: the kind of work, a word.
          total: units of work.
          done: counts the finished ones; it is asked now and then from another thread.
          tokens_each: tokens of a unit, for the rate.
        """
        if self._stream is None:
            yield
            return
        finished = threading.Event()
        began = time.monotonic()
        is_terminal = self._stream.isatty()

        def show() -> None:
            interval = _REDRAW_SECONDS if is_terminal else _LINE_SECONDS
            while not finished.wait(interval):
                self._print(what, total, _safely(done), began, tokens_each, is_terminal)

        watcher = threading.Thread(target=show, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()
        self._print(what, total, _safely(done), began, tokens_each, is_terminal)
        if is_terminal:
            self._stream.write("\n")

    def _print(
        self,
        what: str,
        total: int,
        done: int,
        began: float,
        tokens_each: float,
        is_terminal: bool,
    ) -> None:
        assert self._stream is not None
        line = describe(what, total, done, time.monotonic() - began, tokens_each)
        self._stream.write(f"\r\x1b[K{line}" if is_terminal else line + "\n")
        self._stream.flush()


def describe(what: str, total: int, done: int, seconds: float, tokens_each: float = 0.0) -> str:
    """One line of progress, such as `building 12/40 units, 5.2 M tokens/s, 0:31 left`."""
    parts = [f"{what} {done}/{total}"]
    if done and seconds > 0:
        if tokens_each:
            parts.append(f"{done * tokens_each / seconds / 1e6:.1f} M tokens/s")
        if done < total:
            parts.append(f"{duration(seconds * (total - done) / done)} left")
    if done >= total:
        parts.append(f"in {duration(seconds)}")
    return ", ".join(parts)


def duration(seconds: float) -> str:
    """Hours, minutes and seconds, as 1:02:03 or 2:03."""
    whole = round(seconds)
    hours, minutes = divmod(whole // 60, 60)
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def _safely(done: Callable[[], int]) -> int:
    """A count that cannot be had just now is no reason to fail."""
    try:
        return done()
    except OSError:
        return 0
