"""Engines other than the local one: made as Beam makes them, with messages that people can act on.

A job server (of Flink, of Spark) has options of its own, which Beam for Python learns from it when
the job is handed over. What the server does not know either, Beam drops in silence; here it is
refused.
"""

import contextlib
import difflib
import io
import re
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from apache_beam.options.pipeline_options import PipelineOptions, PortableOptions, StandardOptions
from apache_beam.portability.api import beam_job_api_pb2
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.portability.prism_runner import PrismRunner
from apache_beam.runners.runner import PipelineRunner, create_runner
from apache_beam.version import __version__

from gato_data.errors import UsageError

# What Beam calls a job server inside this process.
EMBEDDED = "embed"
# Options of the verbs that take Beam's options, for suggestions.
OUR_OPTIONS = ("output", "limit", "workers", "quiet", "debug", "size", "sample", "seed")

_PRISM = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{__version__}"
# What runners say when an engine does not start, and what can be done.
_ADVICE = (
    (
        r"Unable to fetch remote prism binary",
        "Prism, the engine of Beam that was asked for, is not on this machine and could not be "
        f"downloaded. Install it, by `go install {_PRISM}` for example, and name it with "
        "--prism_location=FILE; or leave --runner out.",
    ),
    (
        r"Unable to fetch remote job server jar",
        "The job server of the engine is not on this machine and could not be downloaded. Bring "
        "its jar file here and name it, for Flink with --flink_job_server_jar=FILE.",
    ),
    (
        r"No such file or directory: 'java'|Java must be installed",
        "The job server of the engine needs Java, and there is no `java` on this machine. Install "
        "it, or start the job server elsewhere and name it: --runner=PortableRunner "
        "--job_endpoint=HOST:PORT.",
    ),
    (
        r"""['"]docker['"]""",
        "The engine starts workers with Docker unless it is told how else, and Docker does not "
        "work there. Give --environment_type=LOOPBACK for workers in this process, or "
        "--environment_type=EXTERNAL --environment_config=HOST:PORT for a pool of workers.",
    ),
)


def parse(arguments: Sequence[str]) -> PipelineOptions:
    """Beam's options.

    Raises:
      UsageError: one has a value that it cannot have.
    """
    said = io.StringIO()
    try:
        # With its complaint, Beam's parser prints all the options there are.
        with contextlib.redirect_stderr(said):
            given = PipelineOptions(list(arguments))
            given.get_all_options()
    except SystemExit:
        complaint = said.getvalue().strip().rpartition("error: ")[2]
        raise UsageError(f"Options for Beam: {complaint}.") from None
    return given


def check(arguments: Sequence[str]) -> None:
    """Refuses what is known to be wrong before an engine is asked.

    Raises:
      UsageError: there is no such runner, option, or value of one.
    """
    given = parse(arguments)
    engine = None
    # A library that is not there is told of when it is needed.
    with contextlib.suppress(ImportError, AttributeError):
        engine = create(given)
    if not _asks_server(engine, given):
        _refuse_unknown(given)


def create(given: PipelineOptions) -> PipelineRunner | None:
    """The runner that the options name; None: they name none.

    Raises:
      UsageError: there is no such runner; or, when it runs, not even its job server knows an
        option.
      ImportError, AttributeError: of a runner that is named by its module.
    """
    name = given.view_as(StandardOptions).runner
    if name is None:
        return None
    try:
        engine = create_runner(name)
    except ValueError:
        names = StandardOptions.KNOWN_RUNNER_NAMES
        close = difflib.get_close_matches(name, names, n=1)
        hint = f"Did you mean --runner={close[0]}?" if close else f"There are {', '.join(names)}."
        raise UsageError(f"--runner={name}: Beam has no such runner. {hint}") from None
    if _asks_server(engine, given):
        _be_strict(engine, given)
    return engine


def _asks_server(engine: Any, given: PipelineOptions) -> bool:
    """Whether the options go to a job server that has some of its own."""
    if not isinstance(engine, PortableRunner) or isinstance(engine, PrismRunner):
        return False
    return bool(given.view_as(PortableOptions).job_endpoint != EMBEDDED)


def _be_strict(engine: Any, given: PipelineOptions) -> None:
    """Lets a portable runner refuse what its job server does not know, when it hands a job over."""
    hand_over = engine.create_job_service_handle

    def checked(service: Any, options: PipelineOptions) -> Any:
        request = beam_job_api_pb2.DescribePipelineOptionsRequest()
        seconds = options.view_as(PortableOptions).job_server_timeout
        described = service.DescribePipelineOptions(request, timeout=seconds)
        _refuse_unknown(given, [option.name for option in described.options])
        return hand_over(service, options)

    engine.create_job_service_handle = checked


def _refuse_unknown(given: PipelineOptions, served: Iterable[str] = ()) -> None:
    """Refuses options that nobody knows.

    Args:
      given: all options.
      served: names of options that a job server knows.

    Raises:
      UsageError: names the option, and one that looks like it.
    """
    known = given.get_all_options().keys() | set(served)
    unknown = sorted(given.get_all_options(retain_unknown_options=True).keys() - known)
    if unknown:
        close = difflib.get_close_matches(unknown[0], [*OUR_OPTIONS, *sorted(known)], n=1)
        hint = f" Did you mean --{close[0]}?" if close else ""
        raise UsageError(f"--{unknown[0]} is no option of this verb and none of Beam's.{hint}")


def advice(error: Exception, given: PipelineOptions) -> str | None:
    """What keeps an engine from starting, and what to do; None: something else went wrong."""
    if isinstance(error, grpc.FutureTimeoutError):
        endpoint = given.view_as(PortableOptions).job_endpoint
        return (
            f"No job server answers at --job_endpoint={endpoint}. Start one there, or give the "
            "address of one that runs."
        )
    return next((text for said, text in _ADVICE if re.search(said, str(error))), None)
