"""Many small requests to a store at once: each waits for the network, and not for this machine."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from gato_data.storage import files

Item = TypeVar("Item")
Result = TypeVar("Result")

# As many requests as one connection pool of a store's library keeps going without complaint.
REQUESTS = 32
# Items that wait in line at once: bounds the memory, whatever their number.
_WAITING = 10_000


def at_once(
    function: Callable[[Item], Result], items: Iterable[Item], store: str
) -> Iterator[Result]:
    """What a function gives for each item, in their order.

    Args:
      function: makes a request or a few; called from several threads, unless the store is local,
        where threads only cost.
      items: what to call it with.
      store: an address in the store that is asked.

    Raises:
      Exception: the first one that the function raises, in the order of the items.
    """
    if files.local_path(store) is not None:
        yield from map(function, items)
        return
    rest = iter(items)
    with ThreadPoolExecutor(REQUESTS) as pool:
        while group := list(islice(rest, _WAITING)):
            yield from pool.map(function, group)
