"""Running a Beam pipeline: options, worker processes, and errors that people can read."""

import contextlib
import logging
import os
import re
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
from apache_beam.runners.runner import PipelineRunner
from apache_beam.transforms.environments import SubprocessSDKEnvironment

from gato_data.errors import GatoDataError, UsageError
from pipelines import engines

LOCAL_RUNNER = "FnApiRunner"
_DIRECT_OPTIONS = {"--direct_num_workers", "--direct_running_mode"}
# Seconds until Beam's worker processes answer; work that takes less time than a few of these is
# done sooner in this process.
START_UP_SECONDS = 5.0
_WORTH_STARTING = 3 * START_UP_SECONDS

_WORKER = "pipelines.worker"
_WORKER_ENDED = "Worker subprocess exited"
# What the local runner said of workers that ended before their work did.
_dead_workers: list[str] = []
# Whether this process ends its workers itself.
_is_ending = threading.Event()

_OPEN, _CLOSE = "<<gato-data:", ":gato-data>>"
_MARKED = re.compile(re.escape(_OPEN) + r"(\w+):(.*?)" + re.escape(_CLOSE), re.DOTALL)


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0))


def worker_count(asked: int | None, seconds: float, elements: int) -> int:
    """How many local worker processes the work is worth; 1 means this process alone.

    Args:
      asked: `--workers`, which overrides.
      seconds: estimated work of one core.
      elements: units of work, of which each worker should have one.
    """
    if asked is not None:
        return asked
    if seconds < _WORTH_STARTING:
        return 1
    return max(1, min(processors(), elements))


def options(arguments: Sequence[str], workers: int) -> PipelineOptions:
    """Beam's options: ours for a local run, unless the arguments say otherwise."""
    given = list(arguments)
    if is_local(arguments) and not _names(arguments) & _DIRECT_OPTIONS:
        given.append(f"--direct_num_workers={workers}")
    return PipelineOptions(given)


def check_options(arguments: Sequence[str]) -> None:
    """Refuses options for Beam that cannot do, before anything runs.

    Raises:
      UsageError: there is no such option, value or runner.
    """
    engines.check(arguments)


def is_local(arguments: Sequence[str]) -> bool:
    """Whether the arguments leave the choice of the runner to us, or choose ours."""
    return "--runner" not in _names(arguments) or f"--runner={LOCAL_RUNNER}" in arguments


def _names(arguments: Sequence[str]) -> set[str]:
    return {argument.split("=")[0] for argument in arguments}


def _runner(arguments: Sequence[str], workers: int) -> PipelineRunner | None:
    """The local runner, with processes of its own where there are several workers; or another."""
    if not is_local(arguments):
        return engines.create(options(arguments, workers))
    if workers > 1 and not _names(arguments) & _DIRECT_OPTIONS:
        # Instead of the shell that Beam starts it by, which would outlive it.
        start = f"GATO_DATA_MAIN_PROCESS={os.getpid()} exec {shlex.quote(sys.executable)}"
        command = f"{start} -m {_WORKER}"
        return FnApiRunner(SubprocessSDKEnvironment.from_command_string(command))
    return FnApiRunner()


def run(arguments: Sequence[str], workers: int, construct: Callable[[beam.Pipeline], Any]) -> None:
    """Runs a pipeline to its end.

    Args:
      arguments: options for Beam.
      workers: local worker processes, see `worker_count`.
      construct: adds the steps to the pipeline.

    Raises:
      GatoDataError: a step failed; carries the worker's own message.
      UsageError: the engine cannot be started like this, or refuses an option.
    """
    threading.excepthook = _log_thread_error
    try:
        with _workers_end_on_interrupt(), contextlib.redirect_stderr(_Screen.of_this_process()):
            pipeline = beam.Pipeline(
                runner=_runner(arguments, workers), options=options(arguments, workers)
            )
            construct(pipeline)
            pipeline.run().wait_until_finish()
    except KeyboardInterrupt:
        if not _dead_workers:
            raise
        raise GatoDataError(
            f"A worker process of the local runner died ({_dead_workers.pop()}; -9 is how a "
            "machine without memory left ends one). Finished units are kept: run the same command "
            "again, with fewer --workers if memory is short."
        ) from None
    except GatoDataError:
        raise
    except Exception as error:
        if KeyboardInterrupt.__name__ in str(error):
            # Beam wraps what interrupts a step in this process.
            raise KeyboardInterrupt from None
        raise _readable(error, arguments) from error


@contextlib.contextmanager
def _workers_end_on_interrupt() -> Iterator[None]:
    """Ctrl-C ends workers that hang, too: Beam would wait for them without end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)

    def interrupt(number: int, frame: FrameType | None) -> None:
        if before == signal.SIG_IGN and not _dead_workers:
            # A job in the background, which Ctrl-C does not mean.
            return
        _is_ending.set()
        for worker in _worker_processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker, signal.SIGKILL)
        signal.default_int_handler(number, frame)

    _is_ending.clear()
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _worker_processes() -> list[int]:
    """The local worker processes of this one, as far as the system tells."""
    found = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError):
            parent = int(status.read_text().rpartition(")")[2].split()[1])
            if parent == os.getpid() and _WORKER in status.with_name("cmdline").read_text():
                found.append(int(status.parent.name))
    return found


def _log_thread_error(failed: threading.ExceptHookArgs) -> None:
    """Keeps the tracebacks of Beam's threads for --debug; a worker that died ends the run.

    What fails in a step reaches the main thread, and so does Ctrl-C, after which Beam's threads
    fail one by one.
    """
    text = str(failed.exc_value)
    is_interrupted = _is_ending.is_set() or text.endswith(str(-signal.SIGINT))
    if _WORKER_ENDED in text and not is_interrupted:
        # Beam would wait for it without end.
        _dead_workers.append(text)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    logging.getLogger("apache_beam").error("%s", text, exc_info=failed.exc_value)


def _readable(error: Exception, arguments: Sequence[str]) -> GatoDataError:
    """The worker's own message, out of the traceback text that runners wrap it in."""
    found = _MARKED.search(str(error))
    if found is None:
        advice = engines.advice(error, PipelineOptions(list(arguments)))
        if advice is not None:
            return UsageError(advice)
        return GatoDataError(
            f"The Beam pipeline failed: {type(error).__name__}: {_last_line(str(error))} "
            "Run with --debug for the traceback. Finished units are kept; the same command goes on."
        )
    kind = UsageError if found[1] == UsageError.__name__ else GatoDataError
    return kind(found[2])


def _last_line(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no message."


class _Screen:
    """Standard error without the tracebacks of our own messages.

    Workers in threads of this process print them there, beside what they log.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._is_end_due = False

    @classmethod
    def of_this_process(cls) -> Any:
        return cls(sys.stderr)

    def write(self, text: str) -> int:
        is_end, self._is_end_due = self._is_end_due and text == "\n", _OPEN in text
        return len(text) if is_end or self._is_end_due else int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class ReadableDoFn(beam.DoFn):
    """A DoFn whose expected errors keep their message on the way through a runner."""

    def process(self, element: Any) -> Any:
        try:
            return self.work(element)
        except (GatoDataError, OSError) as error:
            message = f"{_OPEN}{type(error).__name__}:{_paragraph(error)}{_CLOSE}"
            raise RuntimeError(message) from error

    def work(self, element: Any) -> Any:
        """Handles one element; returns the output elements.

        Raises:
          NotImplementedError: always, here.
        """
        raise NotImplementedError


def _paragraph(error: Exception) -> str:
    if isinstance(error, OSError):
        return (
            f"Reading or writing failed: {error}. Nothing that was finished is lost; mend it "
            "and run the same command again."
        )
    return str(error)
