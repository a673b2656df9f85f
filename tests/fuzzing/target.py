"""What is fuzzed: bytes, and the code that reads them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """One way from bytes into this library.

    Attributes:
      name: on the command line, and of the folder of its inputs.
      seeds: valid inputs, each of which is read without an error.
      run: reads an input, whatever it takes to get all values of it into memory. It may write it
        into the folder first, which is empty at the start of a run, and belongs to the target.
      words: that mean something in the format.
      repair: mends checksums, so that what lies behind them is reached; as it is, if it cannot.
    """

    name: str
    seeds: Callable[[], Sequence[bytes]]
    run: Callable[[bytes, Path], None]
    words: Sequence[bytes] = ()
    repair: Callable[[bytes], bytes] | None = None
