"""Many requests at once: the results of one after the other, and no thread where none helps."""

import threading
from collections.abc import Iterator

import pytest

from gato_data.storage import at_once as module
from gato_data.storage.at_once import REQUESTS, at_once

REMOTE = "memory://store/out"


def test_results_come_in_the_order_of_the_items() -> None:
    turn = threading.Barrier(2)

    def first_waits(item: int) -> int:
        if item < 2:
            turn.wait(timeout=30)  # both at once, or never
        return -item

    assert list(at_once(first_waits, range(100), REMOTE)) == [-x for x in range(100)]


def test_at_most_so_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    running, most, lock = [0], [0], threading.Lock()
    together = threading.Barrier(REQUESTS)

    def count(item: int) -> None:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait(timeout=30)
        with lock:
            running[0] -= 1

    list(at_once(count, range(2 * REQUESTS), REMOTE))
    assert most[0] == REQUESTS


@pytest.mark.parametrize("store", ["/data/out", "file:///data/out"])
def test_a_local_store_is_asked_from_this_thread(store: str) -> None:
    names = at_once(lambda _: threading.current_thread().name, range(3), store)
    assert set(names) == {threading.current_thread().name}


def test_few_items_wait_in_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAITING", 5)
    taken: list[int] = []

    def items() -> Iterator[int]:
        for item in range(100):
            taken.append(item)
            yield item

    results = at_once(lambda item: item, items(), REMOTE)
    assert next(results) == 0
    assert taken == [0, 1, 2, 3, 4]
    assert list(results) == list(range(1, 100))


def test_the_first_error_of_the_items_is_raised() -> None:
    def fail(item: int) -> int:
        if item in (3, 7):
            raise OSError(f"item {item}")
        return item

    results = at_once(fail, range(10), REMOTE)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="item 3"):
        next(results)
