"""A local worker process of Beam that keeps its notes to itself.

Beam's own entry point logs every step of its start and end to the terminal. Errors need no log:
they reach the main process as exceptions.
"""

import ctypes
import logging
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def _end_with_main_process() -> None:
    """Beam's worker would look for a main process that is gone, for a minute or more."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    main_process = os.environ.get("GATO_DATA_MAIN_PROCESS")
    if main_process and os.getppid() != int(main_process):
        sys.exit("The main process is gone already.")


if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    _end_with_main_process()
    # Ctrl-C reaches the whole process group; the main process says so, workers just end.
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Only now, because its import logs, too.
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)
