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
# Without anything finished for this long, and for several times what one piece of work has taken so
# far, it is said that something may hang; and again whenever the time has doubled.
_STALL_SECONDS = 300.0
_STALL_PIECES = 5


class Progress:
    """Prints one line that grows: redrawn in place on a terminal, else a line now and then."""

    def __init__(self, stream: TextIO | None, warnings: TextIO | None = None) -> None:
        self._stream = stream
        self._warnings = warnings or stream

    @classmethod
    def silent(cls) -> "Progress":
        return cls(None)

    @classmethod
    def quiet(cls) -> "Progress":
        """Shows no progress, but says when there is none."""
        return cls(None, sys.stderr)

    @classmethod
    def to_stderr(cls) -> "Progress":
        return cls(sys.stderr)

    def note(self, text: str) -> None:
        """Prints a line of its own."""
        if self._stream is not None:
            print(text, file=self._stream, flush=True)

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
        if self._warnings is None:
            yield
            return
        finished = threading.Event()
        began = time.monotonic()
        is_terminal = self._stream is not None and self._stream.isatty()
        stall = Stall(began)

        def show() -> None:
            interval = _REDRAW_SECONDS if is_terminal else min(_LINE_SECONDS, _STALL_SECONDS)
            while not finished.wait(interval):
                count = _safely(done)
                warning = stall.look(what, count, time.monotonic())
                if warning:
                    # On a terminal below the line that is redrawn, which begins anew.
                    print("\n" * is_terminal + warning, file=self._warnings, flush=True)
                self._print(what, total, count, began, tokens_each, is_terminal)

        watcher = threading.Thread(target=show, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            finished.set()
            watcher.join()
        self._print(what, total, _safely(done), began, tokens_each, is_terminal)
        if is_terminal and self._stream is not None:
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
        if self._stream is None:
            return
        line = describe(what, total, done, time.monotonic() - began, tokens_each)
        self._stream.write(f"\r\x1b[K{line}" if is_terminal else line + "\n")
        self._stream.flush()


class Stall:
    """Notices that nothing has been finished for long.

    Args:
      began: when the work began, in seconds of some clock.
    """

    def __init__(self, began: float) -> None:
        self._began = began
        self._last = began
        self._done = 0
        self._said = 0.0

    def look(self, what: str, done: int, now: float) -> str | None:
        """What to warn of just now, if anything.

        Args:
          what: the kind of work, a word.
          done: pieces of work finished so far.
          now: by the same clock as `began`.
        """
        if done != self._done:
            self._last, self._done, self._said = now, done, 0.0
        each = (self._last - self._began) / done if done > 0 else 0.0
        waited = now - self._last
        if waited < max(_STALL_SECONDS, _STALL_PIECES * each, 2 * self._said):
            return None
        self._said = waited
        return (
            f"warning: {what}: nothing has been finished for {duration(waited)} (minutes and "
            "seconds). If a worker or the storage hangs, interrupt this with Ctrl-C and run the "
            "same command again: it goes on with what is finished."
        )


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
