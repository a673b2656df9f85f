"""The order: each sequence once an epoch, passes before repeats, weights as they are given."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.errors import UsageError
from gato_data.loading.order import BlockShuffled, Draws, Order, Part, Ranges, Shuffled
from gato_data.loading.parts import TOGETHER, make_parts
from gato_data.loading.sources import Source
from tests.loading.streams import entry, source

SIGMAS = 5.0


def order_of(
    *sources: Source,
    seed: int = 0,
    within: str = "sequences",
    epochs: bool = False,
    blocks: bool = False,
) -> Order:
    parts = make_parts(sources, seed, within=within, by_size=epochs, blocks=blocks)
    return Order(parts, seed)


def draw(order: Order, count: int) -> Draws:
    """The first places, asked for as batches would."""
    found = [order.draws(start, start + 500) for start in range(0, count, 500)]
    return Draws(*(np.concatenate(x) for x in ([y.rows for y in found], [y.epochs for y in found])))


def rows(found: Draws) -> list[int]:
    return [int(row) for row in found.rows]


COUNTS = st.lists(st.integers(1, 300), min_size=2, max_size=6)


@pytest.mark.fidelity("epoch-order")
@settings(max_examples=30, deadline=None)
@given(COUNTS, st.integers(0, 1000), st.booleans())
def test_each_sequence_once_an_epoch(counts: list[int], seed: int, blocks: bool) -> None:
    order = order_of(source(*map(entry, counts)), seed=seed, epochs=True, blocks=blocks)
    total = sum(counts)
    assert len(order) == total
    found = order.draws(0, 3 * total)
    for epoch in range(3):
        inside = slice(epoch * total, (epoch + 1) * total)
        assert sorted(rows(found)[inside]) == list(range(total))
        assert set(found.epochs[inside].tolist()) == {epoch}


@pytest.mark.fidelity("epoch-order")
@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, 200), st.integers(0, 2)), min_size=2, max_size=6),
    st.booleans(),
)
def test_a_pass_is_gone_through_before_the_next_and_all_before_a_repeat(
    shards: list[tuple[int, int]], blocks: bool
) -> None:
    of_pass = [number for count, number in shards for _ in range(count)]
    order = order_of(source(*(entry(*shard) for shard in shards)), blocks=blocks)
    found = rows(order.draws(0, 2 * len(of_pass)))
    passes = [of_pass[row] for row in found]
    assert passes[: len(of_pass)] == passes[len(of_pass) :] == sorted(of_pass)
    assert sorted(found[: len(of_pass)]) == list(range(len(of_pass)))


@pytest.mark.fidelity("epoch-order")
def test_an_epoch_is_shuffled_anew_and_by_the_seed() -> None:
    one = order_of(source(entry(60)), epochs=True)
    other = order_of(source(entry(60)), epochs=True, seed=1)
    orders = {
        tuple(rows(order.draws(start, start + 60))) for order in (one, other) for start in (0, 60)
    }
    assert len(orders) == 4
    assert tuple(range(60)) not in orders


def test_two_sources_of_one_name_have_orders_of_their_own() -> None:
    parts = make_parts(
        [source(entry(50)), source(entry(50))], 0, within="sequences", by_size=False, blocks=False
    )
    first, second = (rows(part.draws(np.arange(50))) for part in parts)
    assert [row - 50 for row in second] != first


@settings(max_examples=10, deadline=None)
@given(COUNTS, st.integers(0, 1000), st.data())
def test_any_stretch_is_as_in_the_whole(counts: list[int], seed: int, data: st.DataObject) -> None:
    """Also of mixtures, and over the borders of epochs."""
    sources = [source(entry(count), name=str(count)) for count in counts]
    whole = order_of(*sources, seed=seed).draws(0, 6000)
    start = data.draw(st.integers(0, 5999))
    stop = data.draw(st.integers(start, 6000))
    found = order_of(*sources, seed=seed).draws(start, stop)
    assert found.rows.tolist() == whole.rows[start:stop].tolist()
    assert found.epochs.tolist() == whole.epochs[start:stop].tolist()


@pytest.mark.fidelity("epoch-order")
@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 30), min_size=9, max_size=40), st.integers(0, 1000))
def test_of_remote_data_a_shard_is_needed_in_one_block_only(counts: list[int], seed: int) -> None:
    """Shards shuffled, the sequences of every few of them together."""
    shard_of = np.repeat(np.arange(len(counts)), counts)
    order = order_of(source(*map(entry, counts)), seed=seed, epochs=True, blocks=True)
    for epoch in range(2):
        found = shard_of[order.draws(epoch * len(order), (epoch + 1) * len(order)).rows].tolist()
        while found:
            # The next block: from here to the last place of its shards there is none but them.
            block = set()
            for place, shard in enumerate(found):
                block.add(shard)
                if place + 1 == sum(counts[one] for one in block):
                    break
            size = sum(counts[one] for one in block)
            assert len(block) <= TOGETHER
            assert set(found[:size]) == block
            assert not block & set(found[size:])
            found = found[size:]


@pytest.mark.fidelity("epoch-order")
def test_the_sequences_of_a_block_are_mixed_and_shards_change_places() -> None:
    shards = Ranges.of([(100 * number, 10) for number in range(6)])
    order = BlockShuffled(shards, 3, 0, "test")
    found = [order.rows(np.arange(60), epoch) // 100 for epoch in (0, 1)]
    for shard_of in found:
        for block in (shard_of[:30], shard_of[30:]):
            assert len(set(block.tolist())) == 3
            assert len(set(block[:10].tolist())) > 1
    assert set(found[0][:30].tolist()) != set(found[1][:30].tolist())


def test_a_mixture_has_no_end_and_one_part_no_draws() -> None:
    mixed = order_of(source(entry(3)), source(entry(4)))
    with pytest.raises(TypeError, match="a mixture has no epochs"):
        len(mixed)
    assert not order_of(source(entry(3)), source(entry(4)), epochs=True).is_mixed
    alone = Part(0.1, (Shuffled(Ranges.of([(0, 7)]), 0, "alone"),))
    assert Order([alone], 0).draws(0, 21).epochs.tolist() == [0] * 7 + [1] * 7 + [2] * 7


@pytest.mark.fidelity("mixture-weights")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_weights_are_probabilities_whatever_the_sizes(seed: int) -> None:
    """A small set of much weight comes round often, a large one of little stays unfinished."""
    sources = [source(entry(40), weight=6), source(entry(5000), weight=3), source(entry(100))]
    found = draw(order_of(*sources, seed=seed), 200_000)
    of_source = np.searchsorted([40, 5040], found.rows, side="right")
    counts = np.bincount(of_source, minlength=3)
    shares = np.array([0.6, 0.3, 0.1])
    sigma = np.sqrt(200_000 * shares * (1 - shares))
    assert (np.abs(counts - 200_000 * shares) < SIGMAS * sigma).all()
    # Inside each, no sequence is two rounds ahead of another.
    for number, size in enumerate((40, 5000, 100)):
        times = np.bincount(found.rows[of_source == number], minlength=5140)
        times = times[[0, 40, 5040][number] :][:size]
        assert times.max() - times.min() <= 1
        assert times.sum() == counts[number]


@pytest.mark.fidelity("episode-share")
@pytest.mark.parametrize("seed", [0, 1])
def test_within_tasks_each_task_is_as_likely(seed: int) -> None:
    """Whatever its number of sequences, over shards of one task and of several."""
    shards = (
        entry(300, tasks=["lift"]),
        entry(6, tasks=["lift", "push"], of=[0, 0, 1, 0, 1, 0]),
        entry(4, pass_number=1, tasks=["turn"]),
    )
    task_of = np.array(["lift"] * 300 + ["lift", "lift", "push", "lift", "push", "lift"]
                       + ["turn"] * 4 + ["other"] * 7)  # fmt: skip
    order = order_of(
        source(*shards, weight=3), source(entry(7, tasks=["other"])), seed=seed, within="tasks"
    )
    found = draw(order, 20_000)
    counts = Counter(task_of[found.rows].tolist())
    sigma = np.sqrt(20_000 / 4 * 3 / 4)
    assert counts.keys() == {"lift", "push", "turn", "other"}
    assert all(abs(count - 5_000) < SIGMAS * sigma for count in counts.values())
    times = np.bincount(found.rows)
    for members in (times[302:306:2], times[306:310], np.r_[times[:302], times[303:306:2]]):
        assert members.max() - members.min() <= 1


def test_within_tasks_goes_through_the_passes_of_a_task() -> None:
    order = order_of(source(entry(3, 1, ["lift"]), entry(5, 0, ["lift"])), within="tasks")
    found = rows(order.draws(0, 8))
    assert set(found[:5]) == {3, 4, 5, 6, 7}
    assert set(found[5:]) == {0, 1, 2}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"within": "task"}, 'within is \'task\': choose "sequences" or "tasks"'),
        ({"within": "tasks", "blocks": True}, "needs every shard at hand"),
        ({"within": "tasks", "epochs": True}, "leave `epochs` and `weights` out"),
    ],
)
def test_what_cannot_be_drawn(options: dict[str, bool], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        order_of(source(entry(3)), **options)
    assert message in str(refused.value)


def test_empty_shards_take_no_numbers_and_make_no_part() -> None:
    order = order_of(source(entry(0), entry(2), entry(0), entry(1)), epochs=True)
    assert sorted(rows(order.draws(0, 3))) == [0, 1, 2]


@pytest.mark.fidelity("exact-resume")
def test_golden_orders() -> None:
    assert rows(order_of(source(entry(5), entry(3)), epochs=True).draws(0, 16)) == GOLDEN_EPOCHS
    mixed = order_of(source(entry(4), weight=2), source(entry(3, 1), entry(2, 0)))
    found = mixed.draws(0, 16)
    assert (rows(found), found.epochs.tolist()) == GOLDEN_MIXED
    remote = order_of(source(*[entry(2)] * 10), epochs=True, blocks=True)
    assert rows(remote.draws(0, 20)) == GOLDEN_BLOCKS
    tasks = source(entry(4, 0, ["lift", "push"], [1, 0, 0, 1]))
    assert rows(order_of(tasks, within="tasks", seed=7).draws(0, 12)) == GOLDEN_TASKS


GOLDEN_EPOCHS = [6, 0, 7, 1, 3, 2, 4, 5, 4, 2, 5, 3, 0, 7, 6, 1]
GOLDEN_MIXED = (
    [1, 8, 3, 0, 7, 2, 2, 3, 0, 6, 1, 3, 0, 4, 5, 2],
    [0, 0, 0, 0, 0, 0, 1, 1, 1, 0, 1, 2, 2, 0, 0, 2],
)
GOLDEN_BLOCKS = [1, 10, 4, 15, 7, 17, 11, 16, 14, 12, 19, 6, 5, 18, 13, 0, 9, 8, 2, 3]
GOLDEN_TASKS = [3, 2, 1, 1, 2, 1, 2, 2, 1, 0, 0, 2]
