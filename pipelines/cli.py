"""The front door: `gato-data VERB`. What it ends with, and what people read of an error."""

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

from gato_data.errors import GatoDataError, UsageError
from gato_data.masking import masked
from pipelines.command_line import parser
from pipelines.verbs import DONE, FAILED, VERBS

WRONG_USAGE = 2
_OURS = ("gato_data", "pipelines")


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0 done, 1 failed, 2 wrong usage or config."""
    options = parser()
    parsed, rest = options.parse_known_args(arguments)
    _quiet_libraries(parsed.debug)
    if rest and not parsed.takes_beam_options:
        options.error(f"unrecognized arguments: {' '.join(rest)}")
    if any(not option.startswith("--") for option in rest):
        options.error(f"give options for Beam as --name=value, not: {' '.join(rest)}")
    parsed.beam = rest
    try:
        status = int(VERBS[parsed.verb](parsed) or DONE)
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # Whoever reads the output has seen enough, as in `gato-data inspect DIR | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except (GatoDataError, OSError) as error:
        if parsed.debug:
            print(masked(traceback.format_exc()), end="", file=sys.stderr)
        else:
            print(f"gato-data: {_paragraph(error)}", file=sys.stderr)
        return WRONG_USAGE if isinstance(error, UsageError) else FAILED
    except ModuleNotFoundError as error:
        if parsed.debug or error.name is None or error.name.startswith(_OURS):
            raise
        print(
            f"gato-data: this verb needs the package {error.name}, which is not installed. "
            "pip install 'gato-data[build]' brings what reads and builds, 'gato-data[envs]' what "
            "records, 'gato-data[train]' what trains.",
            file=sys.stderr,
        )
        return WRONG_USAGE
    except KeyboardInterrupt:
        goes_on = " The same command goes on where this one stopped." * parsed.goes_on
        print(f"gato-data: interrupted.{goes_on}", file=sys.stderr)
        return FAILED
    except Exception as error:
        if parsed.debug:
            print(masked(traceback.format_exc()), end="", file=sys.stderr)
            return FAILED
        print(
            f"gato-data: a defect of this program: {type(error).__name__}: {masked(str(error))}. "
            "Please report it with what the same command prints with --debug.",
            file=sys.stderr,
        )
        return FAILED


def _paragraph(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, GatoDataError):
        return masked(
            f"Reading or writing failed: {error}. Mend that and run the same command again."
        )
    # Names of files and fields come from data, and could drive a terminal.
    return "".join(x if x.isprintable() or x == "\n" else repr(x)[1:-1] for x in str(error))


def _quiet_libraries(is_debugging: bool) -> None:
    """Keeps the notes of libraries off the screen; what fails is raised and shown by us."""
    # TensorFlow and gRPC write pages about processors and plug-ins.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    logging.setLogRecordFactory(_masked_record)
    if not is_debugging:
        logging.getLogger().setLevel(logging.ERROR)
        # Beam and gRPC log the traceback of every error that Beam also raises.
        logging.getLogger("apache_beam").setLevel(logging.CRITICAL)
        logging.getLogger("grpc").setLevel(logging.CRITICAL)
        # So do its job servers, through the root logger, and Prism, whose level Beam itself sets.
        logging.getLogger().addFilter(_is_of_interest)
        logging.getLogger("PrismJobServer").addFilter(_is_of_interest)


def _is_of_interest(record: logging.LogRecord) -> bool:
    return False


def _masked_record(*arguments: Any, **named: Any) -> logging.LogRecord:
    """What libraries note, such as the options of a job, without passwords and keys."""
    record = logging.LogRecord(*arguments, **named)
    # Words that do not fit their form, logging itself tells of.
    with contextlib.suppress(TypeError, ValueError):
        record.msg, record.args = masked(record.getMessage()), None
    return record


if __name__ == "__main__":
    sys.exit(main())
