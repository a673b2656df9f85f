"""Which sentences are in a sample: uniform, seeded, and the same however they are read."""

import hashlib
import random
import statistics
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.sequencing import draws
from pipelines.sentence_sample import SentenceSample, divide, total


def sample(sentences, room, seed=0):
    found = SentenceSample(room, seed)
    for sentence in sentences:
        found.add(sentence)
    return found


def size(sentence):
    return len(sentence.encode())


def start_of_order(sentences, room, seed=0):
    """The distinct sentences that fit, in the order of their hashes; slowly."""
    key = draws.sort_key(seed, "sentences")
    kept = []
    for sentence in sorted(
        set(sentences), key=lambda x: hashlib.blake2b(x.encode(), digest_size=16, key=key).digest()
    ):
        if sum(map(size, kept)) + size(sentence) > room:
            break
        kept.append(sentence)
    return kept


# What is kept.


def test_all_text_is_kept_while_it_fits():
    found = sample(["b", "a", "b", "é"], 5)
    assert found.chosen() == [("a", 1), ("b", 2), ("é", 1)]
    assert (found.read, found.read_bytes, found.end) == (4, 5, None)


def test_the_most_frequent_sentences_get_fewer_copies_first():
    found = sample(["often"] * 100 + ["some"] * 3 + ["once"], 5 * 16 + 4 * 3 + 4)
    assert found.chosen() == [("often", 16), ("once", 1), ("some", 3)]


def test_equally_frequent_sentences_get_as_many_copies_until_the_room_is_full():
    found = sample([f"line {n}" for n in range(10) for _ in range(50)], 6 * 237)
    copies = [copies for _, copies in found.chosen()]
    assert sorted(copies) == [23] * 3 + [24] * 7


def test_a_sample_is_the_start_of_the_seeded_order_and_full():
    sentences = [f"sentence {i:05d}" for i in range(10_000)]
    found = sample(sentences, 14 * 1_000, seed=3)
    chosen = found.chosen()
    assert [text for text, _ in chosen] == sorted(start_of_order(sentences, 14_000, seed=3))
    assert len(chosen) == 1_000
    assert {copies for _, copies in chosen} == {1}
    assert [text for _, text, _ in found.sentences] == start_of_order(sentences, 14_000, seed=3)


def test_copies_are_kept_in_a_sample_but_no_sentence_takes_more_than_a_thousandth():
    thrice = [f"sentence {i:05d}" for i in range(10_000)] * 3
    often = start_of_order(thrice, 14)[0]  # the first in the order, so that it is in the sample
    chosen = dict(sample(thrice + [often] * 100_000, 140_000).chosen())
    assert chosen.pop(often) == 140 // 14
    assert set(chosen.values()) == {3}
    assert len(chosen) == (140_000 - 140) // (3 * 14)


def test_a_sentence_larger_than_the_room_leaves_it_empty():
    assert sample(["too long", "too long"], 7).chosen() == []
    assert sample([], 7).chosen() == []


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("abé", min_size=1, max_size=4)), st.integers(0, 60), st.randoms())
def test_a_sample_does_not_depend_on_the_order(sentences, room, draw):
    shuffled = draw.sample(sentences, len(sentences))
    found = sample(sentences, room)
    chosen = found.chosen()
    assert chosen == sample(shuffled, room).chosen()
    assert [text for _, text, _ in found.sentences] == start_of_order(sentences, room)
    assert sum(size(text) * copies for text, copies in chosen) <= room
    assert all(0 < copies <= sentences.count(text) for text, copies in chosen)
    if sum(map(size, sentences)) <= room:
        assert chosen == sorted(Counter(sentences).items())
    else:  # full, but for less than the next sentence
        assert sum(size(text) * copies for text, copies in chosen) > room - 8


# Parts of it, read by others.


def merged(parts, room, seed=0):
    """As the job does it: each part is kept by itself, then what was kept is put together."""
    kept = [sample(part, part_room, seed) for part, part_room in parts]
    together = SentenceSample(room, seed)
    for part in kept:
        if part.end is not None:
            together.end_at(part.end)
    for part in kept:
        for digest, sentence, copies in part.sentences:
            if not together.is_beyond(digest):
                together.keep(sentence, copies)
    return together


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.text("abé", min_size=1, max_size=4), max_size=60),
    st.integers(0, 50),
    st.integers(1, 5),
    st.integers(0, 20),
    st.randoms(),
)
def test_any_parts_in_any_order_give_the_same_sample(sentences, room, count, more, draw):
    """Parts that keep as much as the whole, or more, add up to it."""
    whole = sample(sentences, room)
    shuffled = draw.sample(sentences, len(sentences))
    parts = [(shuffled[number::count], room + draw.randint(0, more)) for number in range(count)]
    found = merged(parts, room)
    assert found.chosen() == whole.chosen()
    assert found.sentences == whole.sentences
    assert (found.end is None) == (whole.end is None)


def test_merging_is_associative():
    draw = random.Random(7)
    sentences = [f"{draw.randint(0, 400):04d}" for _ in range(2_000)]
    parts = [(sentences[n::4], 500) for n in range(4)]

    def paired(one, two):
        both = merged([one, two], 500)
        repeated = [text for _, text, copies in both.sentences for _ in range(copies)]
        return repeated, 500

    left = paired(paired(paired(parts[0], parts[1]), parts[2]), parts[3])
    right = paired(parts[0], paired(parts[1], paired(parts[2], parts[3])))
    whole = sample(sentences, 500)
    for found in (left, right):
        assert Counter(found[0]) == {text: copies for _, text, copies in whole.sentences}


# Uniform.


def test_every_sentence_is_as_likely():
    """Chi-square over 400 seeds: 120 sentences, of which 30 are taken each time."""
    sentences = [f"{n:03d} {chr(97 + n % 26) * 6}" for n in range(120)]
    seeds = 400
    counts = Counter(
        text for seed in range(seeds) for text, _ in sample(sentences, 30 * 10, seed).chosen()
    )
    assert sum(counts.values()) == 30 * seeds
    expected, variance = seeds * 0.25, seeds * 0.25 * 0.75
    chi_square = sum((counts[x] - expected) ** 2 for x in sentences) / variance * 119 / 120
    # 119 degrees of freedom: a mean of 119, a standard deviation of 15.4.
    assert 119 - 4 * 15.4 < chi_square < 119 + 4 * 15.4


def test_neither_content_nor_frequency_decides():
    sentences = [f"{n:04d}" for n in range(4_000)]
    repeated = sentences + [x for x in sentences if int(x) % 2] * 2
    taken = [int(text) for text, _ in sample(repeated, 8_000).chosen()]
    # A thousand of 4000 numbers; standard deviation of their mean: 4000 / sqrt(12 * 1000).
    assert abs(statistics.mean(taken) - 2_000) < 4 * 36.5
    assert abs(sum(x % 2 for x in taken) / len(taken) - 0.5) < 4 * 0.5 / len(taken) ** 0.5
    every = {text for text, _ in sample(sentences, 4_000, seed=1).chosen()}
    other = {text for text, _ in sample(sentences, 4_000, seed=2).chosen()}
    assert abs(len(every & other) - 250) < 4 * 12  # hypergeometric: 250 ± 11.9


# Shares of several data sets.


@pytest.mark.parametrize(
    ("room", "available", "weights", "expected"),
    [
        # All have enough: by weight.
        (100, {"a": 500, "b": 500}, {"a": 3.0, "b": 1.0}, {"a": 75, "b": 25}),
        # One gives all it has; the rest goes to the others by their weights.
        (100, {"a": 10, "b": 500, "c": 500}, {"a": 2, "b": 1, "c": 1}, {"a": 10, "b": 45, "c": 45}),
        (100, {"a": 500, "b": 10, "c": 500}, {"a": 3, "b": 1, "c": 1}, {"a": 67, "b": 10, "c": 23}),
        # What one leaves makes another run short.
        (100, {"a": 10, "b": 36, "c": 500}, {"a": 2, "b": 1, "c": 1}, {"a": 10, "b": 36, "c": 54}),
        # Together they have less than there is room for.
        (100, {"a": 10, "b": 36, "c": 50}, {"a": 2, "b": 1, "c": 9}, {"a": 10, "b": 36, "c": 50}),
        (100, {"a": 0, "b": 500}, {"a": 99, "b": 1}, {"a": 0, "b": 100}),
        (100, {"a": 500}, {"a": 0.1}, {"a": 100}),
    ],
)
def test_shares_by_hand(room, available, weights, expected):
    assert divide(room, available, weights) == expected


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 10**9),
    st.lists(st.tuples(st.integers(0, 10**9), st.floats(1e-3, 1e3)), min_size=1, max_size=8),
    st.randoms(),
)
def test_shares_fill_the_room_by_weight(room, vessels, draw):
    names = [f"set {n}" for n in range(len(vessels))]
    available = dict(zip(names, (has for has, _ in vessels), strict=True))
    weights = dict(zip(names, (weight for _, weight in vessels), strict=True))
    shares = divide(room, available, weights)
    assert sum(shares.values()) == min(room, sum(available.values()))
    assert all(0 <= shares[x] <= available[x] for x in names)
    # The level of the water: whoever is not empty has it, and nobody has more, but for rounding.
    level = max((shares[x] - len(names)) / weights[x] for x in names)
    for name in names:
        if shares[name] < available[name]:
            assert shares[name] + len(names) >= level * weights[name] * (1 - 1e-9)
    order = draw.sample(names, len(names))
    again = divide(room, {x: available[x] for x in order}, {x: weights[x] for x in order})
    assert again == shares


def test_what_several_samples_have_together():
    assert total([[("a", 1), ("c", 2)], [], [("b", 1), ("c", 3)]]) == [("a", 1), ("b", 1), ("c", 5)]
