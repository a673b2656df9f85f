"""A local worker process of Beam that keeps its notes to itself.

Beam's own entry point logs every step of its start and end to the terminal. Errors need no log:
they reach the main process as exceptions.
"""

import logging
import signal
import sys

if __name__ == "__main__":
    logging.disable(logging.CRITICAL)
    # Ctrl-C reaches the whole process group; the main process says so, workers just end.
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Only now, because its import logs, too.
    from apache_beam.runners.worker import sdk_worker_main

    sdk_worker_main.main(sys.argv)
