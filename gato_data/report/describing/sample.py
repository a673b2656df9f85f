"""Which records are looked at: a bounded number, spread over the files."""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Protocol, TypeVar

from gato_data.config_types import LimitsConfig

# Files that are opened, at most, for each one that should have sufficed: some may be empty.
_TRIES = 4


Found = TypeVar("Found", covariant=True)


class Scanned(Protocol[Found]):
    """What can be looked at: a `Source`, or a corpus; see there."""

    @property
    def files(self) -> Sequence[str]: ...

    def stated(self, file: str) -> int: ...

    def scan(self, file: str, largest: int) -> Iterator[Found]: ...


def sample(source: Scanned[Found], episodes: int) -> Iterator[tuple[str, Found]]:
    """The first records of files that lie far apart, with the names of the files.

    Faulty records count like others, so that not more is read than was asked for.

    Args:
      source: an opened data set.
      episodes: records, at most.

    Raises:
      OSError: reading failed.
    """
    names = [name for name in source.files if source.stated(name)] or list(source.files)
    if not names:
        return
    chosen = min(episodes, len(names))
    each = -(-episodes // chosen)
    left = episodes
    for name in _spread(names, chosen)[: _TRIES * chosen]:
        found = source.scan(name, LimitsConfig().record_bytes)
        for record in islice(found, min(each, left)):
            left -= 1
            yield name, record
        if not left:
            return


def _spread(names: list[str], chosen: int) -> list[str]:
    """Evenly spaced names first, then the others."""
    places = {number * len(names) // chosen for number in range(chosen)}
    first = [name for place, name in enumerate(names) if place in places]
    return first + [name for place, name in enumerate(names) if place not in places]
