"""`python -m tests.fuzzing`: fuzzes all targets, or those that are named; exit status 1 if any
input does what none may."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzzing import running
from tests.fuzzing.targets import TARGETS


def main() -> int:
    """Fuzzes one target after the other, and prints what came of each."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    running.add_options(parser, list(TARGETS))
    arguments = parser.parse_args()
    unknown = set(arguments.targets) - set(TARGETS)
    if unknown:
        parser.error(f"there is no target {sorted(unknown)[0]}; there are {', '.join(TARGETS)}")
    folder = Path(arguments.found or tempfile.mkdtemp(prefix="fuzzing-"))
    is_good = True
    for name in arguments.targets or TARGETS:
        result = running.fuzz(name, arguments.seconds, arguments.seed, folder)
        print(running.describe(result), flush=True)
        is_good = is_good and result.is_good
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
