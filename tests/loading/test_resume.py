"""A run that stops anywhere and goes on, on as many hosts as there are: as if it had not."""

import json
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import gato_data
from gato_data.errors import UsageError
from gato_data.loading import stream
from gato_data.loading.batches import Batch
from gato_data.loading.loader import Loader
from gato_data.loading.planning import MOST_WAITING, Position
from tests.loading.streams import assert_equal, batches, ids, together

HOSTS = (1, 2, 3, 4, 8)
# Options of a stream, hosts that divide its batches, and batches that are looked at.
STREAMS: dict[str, tuple[dict[str, Any], tuple[int, ...], int]] = {
    # 25 sequences an epoch: one batch and a padded one each.
    "epochs": ({"batch_size": 24, "epochs": 3}, HOSTS, 6),
    "epochs without what is left": (
        {"batch_size": 8, "epochs": 2, "drop_last": True, "images": "none"},
        (1, 2, 4, 8),
        6,
    ),
    "mixture": ({"batch_size": 24, "weights": {"toy": 1, "plain": 3}}, HOSTS, 7),
    "tasks": ({"batch_size": 24, "within": "tasks", "images": "none"}, HOSTS, 7),
    "packed": (
        # 16 rows of 8 or 10 patches do not fit into 96: some wait for the next batch.
        {"batch_size": 384, "images": "packed", "patch_budget": 96, "data_shards": 24},
        HOSTS,
        4,
    ),
    "packed epochs": (
        {"batch_size": 24, "images": "packed", "patch_budget": 96, "data_shards": 1, "epochs": 3},
        (1,),
        6,
    ),
    "one data set": ({"batch_size": 24, "datasets": ["toy"], "training": False}, HOSTS, 5),
}


def loader_of(build: Path, name: str, host: int = 0, hosts: int = 1, workers: int = 0) -> Loader:
    options = STREAMS[name][0]
    return gato_data.load(
        str(build),
        seed=5,
        provenance=True,
        process_index=host,
        process_count=hosts,
        workers=workers,
        **options,
    )


@pytest.fixture(scope="module")
def unbroken(tiny_build_arrow: Path) -> dict[str, list[Batch]]:
    return {
        name: list(islice(loader_of(tiny_build_arrow, name), most))
        for name, (_, _, most) in STREAMS.items()
    }


@pytest.mark.fidelity("exact-resume")
@pytest.mark.parametrize("name", STREAMS)
@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_a_run_in_pieces_is_the_unbroken_one(
    tiny_build_arrow: Path, unbroken: dict[str, list[Batch]], name: str, data: st.DataObject
) -> None:
    """Each piece on other hosts with other workers, from a state that was written as JSON."""
    _, allowed, most = STREAMS[name]
    found: list[Batch] = []
    state: str | None = None
    while len(found) < len(unbroken[name]):
        hosts = data.draw(st.sampled_from(allowed), "hosts")
        workers = data.draw(st.integers(0, 2), "workers")
        count = data.draw(st.integers(1, most - len(found)), "batches")
        pieces, states = [], set()
        for host in range(hosts):
            with loader_of(tiny_build_arrow, name, host, hosts, workers) as loader:
                if state is not None:
                    loader.set_state(json.loads(state))
                pieces.append(list(islice(loader, count)))
                states.add(json.dumps(loader.get_state()))
        [state] = states
        assert len(state) < 1000
        found += together(pieces)
    assert_equal(found, unbroken[name])


@pytest.mark.parametrize("name", ["packed", "packed epochs"])
def test_sequences_do_wait_in_these_streams(tiny_build_arrow: Path, name: str) -> None:
    loader = loader_of(tiny_build_arrow, name)
    next(loader)
    assert loader.get_state()["waiting"]


@pytest.mark.fidelity("exact-resume")
@pytest.mark.parametrize("hosts", [1, 3, 8])
@pytest.mark.parametrize("images", ["dense", "packed"])
def test_an_epoch_on_any_number_of_hosts_has_each_sequence_once(
    tiny_build_arrow: Path, hosts: int, images: str
) -> None:
    """Every host has as many batches, and no two have a sequence in common."""
    of_hosts = [
        batches(
            tiny_build_arrow,
            batch_size=24,
            images=images,
            provenance=True,
            process_index=host,
            process_count=hosts,
        )
        for host in range(hosts)
    ]
    assert len({len(found) for found in of_hosts}) == 1
    found = [one for host in of_hosts for one in ids(host)]
    assert len(set(found)) == len(found) == 25
    valid = [int(batch["valid"].sum()) for batch in together(of_hosts)]
    assert valid == [24, 1]


def test_the_end_of_the_stream_is_a_place_too(tiny_build_arrow: Path) -> None:
    loader = loader_of(tiny_build_arrow, "epochs")
    list(loader)
    again = loader_of(tiny_build_arrow, "epochs")
    again.set_state(loader.get_state())
    assert list(again) == []
    assert again.get_state() == loader.get_state()


def test_going_back_and_skipping(tiny_build_arrow: Path, unbroken: dict[str, list[Batch]]) -> None:
    loader = loader_of(tiny_build_arrow, "packed", workers=1)
    start = loader.get_state()
    assert_equal([next(loader)], unbroken["packed"][:1])
    loader.skip(2)
    assert_equal([next(loader)], unbroken["packed"][3:4])
    loader.set_state(start)
    assert_equal(list(islice(loader, 2)), unbroken["packed"][:2])
    loader.close()
    assert_equal([next(loader)], unbroken["packed"][2:3])


def test_less_than_none_is_not_skipped(tiny_build_arrow: Path) -> None:
    loader = loader_of(tiny_build_arrow, "mixture")
    with pytest.raises(UsageError, match="-1 batches cannot be skipped: set_state goes back"):
        loader.skip(-1)


def test_the_largest_state_is_less_than_a_kilobyte(tiny_build_arrow: Path) -> None:
    """As many wait as may, each from another of the last batches, far into a training."""
    loader = gato_data.load(
        str(tiny_build_arrow), batch_size=1024, images="packed", patch_budget=96, workers=0
    )
    next(loader)
    assert len(loader.get_state()["waiting"]) == MOST_WAITING
    place, batch = 6 * 10**10, 1 << 16
    waiting = tuple(place - batch * number for number in range(MOST_WAITING, 0, -1))
    state = loader.stream.to_state(Position(place, waiting, 10**10))
    assert 400 < len(json.dumps(state)) < 1000
    assert loader.stream.from_state(state) == Position(place, waiting, 10**10)


def test_the_data_may_lie_elsewhere_and_the_batch_may_have_another_size(
    tiny_build_arrow: Path, tmp_path: Path
) -> None:
    """A state says how far the order was read; batches of another size read on from there."""
    loader = gato_data.load(str(tiny_build_arrow), batch_size=6, epochs=1, workers=0)
    first = [next(loader), next(loader)]
    moved = tmp_path / "moved"
    moved.symlink_to(tiny_build_arrow)
    other = gato_data.load(str(moved), batch_size=4, epochs=1, workers=0)
    other.set_state(loader.get_state())
    rest = list(other)
    whole = batches(tiny_build_arrow, batch_size=25)
    tokens = [batch["tokens"][batch["valid"]] for batch in first + rest]
    np.testing.assert_array_equal(np.concatenate(tokens), whole[0]["tokens"])


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 6},
        {"split": "validation"},
        {"datasets": ["toy"]},
        {"weights": {"toy": 1, "plain": 3}},
        {"within": "tasks"},
        {"epochs": 2},
    ],
)
def test_a_state_of_another_stream(tiny_build_arrow: Path, other: dict[str, Any]) -> None:
    state = gato_data.load(str(tiny_build_arrow), batch_size=2, seed=5).get_state()
    loader = gato_data.load(str(tiny_build_arrow), **{"batch_size": 2, "seed": 5} | other)
    with pytest.raises(UsageError, match="belongs to another stream"):
        loader.set_state(state)


def test_what_changes_no_order_changes_no_state(tiny_build_arrow: Path) -> None:
    state = gato_data.load(str(tiny_build_arrow), batch_size=2).get_state()
    options = {"loss": {"text": 0}, "training": False, "images": "packed", "provenance": True}
    loader = gato_data.load(str(tiny_build_arrow), batch_size=4, **options)
    loader.set_state(state)
    found = loader.get_state()
    assert found.pop("room") == [1, 128]
    assert found == state


def test_a_state_of_other_content_is_refused(tiny_build_arrow: Path, silent_prompts: Path) -> None:
    """The same episodes in the same shards, of which other tokens count."""
    one, other = (
        gato_data.load(str(build), batch_size=2) for build in (tiny_build_arrow, silent_prompts)
    )
    assert [len(x.entries) for x in one.stream.sources] == [
        len(x.entries) for x in other.stream.sources
    ]
    with pytest.raises(UsageError, match="another stream"):
        other.set_state(one.get_state())


def test_a_state_of_another_room_says_which(tiny_build_arrow: Path) -> None:
    """Other sequences would wait."""
    options: dict[str, Any] = {"batch_size": 4, "images": "packed", "workers": 0}
    loader = gato_data.load(str(tiny_build_arrow), patch_budget=96, data_shards=2, **options)
    next(loader)
    other = gato_data.load(str(tiny_build_arrow), **options)
    with pytest.raises(UsageError, match="data_shards=2 and patch_budget=96, as when"):
        other.set_state(loader.get_state())


@pytest.mark.parametrize(
    ("error", "workers"),
    [(KeyboardInterrupt, 0), (MemoryError, 0), (MemoryError, 1), (ValueError, 2)],
)
def test_no_batch_is_lost_to_an_error(
    error: type[BaseException],
    workers: int,
    tiny_build_arrow: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    whole = batches(tiny_build_arrow, batch_size=4, epochs=1)
    assemble, calls = stream.assemble, count()

    def failing(*arguments: Any) -> Batch:
        if next(calls) == 2:
            raise error
        return assemble(*arguments)

    monkeypatch.setattr(stream, "assemble", failing)
    loader = gato_data.load(str(tiny_build_arrow), batch_size=4, epochs=1, workers=workers)
    found: list[Batch] = []
    failures = 0
    while len(found) < len(whole):
        try:
            found.append(next(loader))
        except error:
            failures += 1
            assert loader.get_state()["batches"] == len(found)
    assert failures == 1
    assert_equal(found, whole)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"version": 2}, "The state is of version 2; this is 1"),
        ({"place": -1}, "places that cannot be"),
        ({"place": 10**30}, "places that cannot be"),
        ({"batches": -1}, "places that cannot be"),
        ({"waiting": [0]}, "places that cannot be"),
        ({"waiting": [5000]}, "places that cannot be"),
        ({"waiting": [1, 2]}, "places that cannot be"),
        ({"waiting": [2, 2]}, "places that cannot be"),
        ({"waiting": list(range(65, 0, -1))}, "places that cannot be"),
        ({"place": "12"}, "comes from `get_state`"),
        ({"place": 1.5}, "comes from `get_state`"),
        ({"place": float("nan")}, "comes from `get_state`"),
        ({"batches": None}, "comes from `get_state`"),
        ({"waiting": "12"}, "comes from `get_state`"),
        ({"waiting": 3}, "comes from `get_state`"),
    ],
)
def test_a_damaged_state(tiny_build_arrow: Path, damage: dict[str, Any], message: str) -> None:
    loader = loader_of(tiny_build_arrow, "packed")
    next(loader)
    state = loader.get_state()
    with pytest.raises(UsageError) as refused:
        loader.set_state(state | damage)
    assert message in str(refused.value)
    assert loader.get_state() == state


@pytest.mark.parametrize("state", [None, [], {}, "state", {"version": 1}])
def test_no_state_at_all(tiny_build_arrow: Path, state: Any) -> None:
    with pytest.raises(UsageError, match="comes from `get_state`"):
        loader_of(tiny_build_arrow, "mixture").set_state(state)


def test_a_place_after_the_last_and_waiting_without_room(tiny_build_arrow: Path) -> None:
    loader = loader_of(tiny_build_arrow, "epochs")
    state = loader.get_state() | {"place": 76, "batches": 6}
    with pytest.raises(UsageError, match="places that cannot be"):
        loader.set_state(state)
    packed = loader_of(tiny_build_arrow, "packed")
    next(packed)
    dense = gato_data.load(str(tiny_build_arrow), batch_size=4, seed=5)
    with pytest.raises(UsageError, match=r'Load with images="packed"'):
        dense.set_state(packed.get_state())


def test_numpy_integers_of_a_checkpoint(tiny_build_arrow: Path) -> None:
    loader = loader_of(tiny_build_arrow, "packed")
    next(loader)
    state = loader.get_state()
    stored = state | {
        "place": np.int64(state["place"]),
        "batches": np.int32(state["batches"]),
        "waiting": tuple(np.array(state["waiting"])),
    }
    again = loader_of(tiny_build_arrow, "packed")
    again.set_state(stored)
    assert again.get_state() == state
    assert type(again.get_state()["place"]) is int


@pytest.mark.fidelity("exact-resume")
def test_golden_order_and_state(tiny_build_arrow: Path, unbroken: dict[str, list[Batch]]) -> None:
    """What is seen when, of every kind of stream: saved states rely on it."""
    for name, (order, state) in GOLDEN.items():
        assert ids(unbroken[name])[: len(order)] == order
        loader = loader_of(tiny_build_arrow, name)
        list(islice(loader, 3))
        assert {key: loader.get_state()[key] for key in state} == state
        keys = {"version", "stream", "place", "waiting", "batches"}
        packed = {"room"} if "packed" in name else set()
        assert loader.get_state().keys() == keys | packed


GOLDEN: dict[str, tuple[list[str], dict[str, Any]]] = {
    "epochs": (
        [
            "toy/toy/episode-001/0/0",
            "plain/plain/episode-005/0/0",
            "toy/toy/episode-003/0/0",
            "toy/toy/episode-010/0/0",
        ],
        {"place": 49, "waiting": [], "batches": 3, "version": 1},
    ),
    "epochs without what is left": (
        [
            "toy/toy/episode-001/0/0",
            "plain/plain/episode-005/0/0",
            "toy/toy/episode-003/0/0",
            "toy/toy/episode-010/0/0",
        ],
        {"place": 24, "waiting": [], "batches": 3, "version": 1},
    ),
    "mixture": (
        [
            "plain/plain/episode-004/0/0",
            "plain/plain/episode-009/0/0",
            "plain/plain/episode-010/0/0",
            "plain/plain/episode-005/0/0",
        ],
        {"place": 72, "waiting": [], "batches": 3, "version": 1},
    ),
    "tasks": (
        [
            "plain/plain/episode-005/0/1",
            "toy/toy/episode-009/0/0",
            "plain/plain/episode-005/0/0",
            "plain/plain/episode-008/0/0",
        ],
        {"place": 72, "waiting": [], "batches": 3, "version": 1},
    ),
    "packed": (
        [
            "plain/plain/episode-004/0/0",
            "toy/toy/episode-008/0/0",
            "plain/plain/episode-009/0/0",
            "plain/plain/episode-010/0/0",
        ],
        {"place": 1160, "waiting": [13, 12, 11, 9, 7, 6, 3, 2], "batches": 3, "version": 1},
    ),
    "packed epochs": (
        [
            "toy/toy/episode-001/0/0",
            "plain/plain/episode-005/0/0",
            "toy/toy/episode-003/0/0",
            "toy/toy/episode-010/0/0",
        ],
        {"place": 50, "waiting": [5, 4, 2, 1], "batches": 3, "version": 1},
    ),
    "one data set": (
        [
            "toy/toy/episode-002/0/0",
            "toy/toy/episode-011/0/0",
            "toy/toy/episode-008/0/0",
            "toy/toy/episode-003/0/0",
        ],
        {"place": 72, "waiting": [], "batches": 3, "version": 1},
    ),
}
