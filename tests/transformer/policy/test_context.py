"""What is remembered: the prompt, and whole timesteps of the own history."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.errors import UsageError
from gato_data.transformer.policy.context import Context
from gato_data.transformer.policy.encoder import LiveStep
from gato_data.transformer.policy.step_tokens import NOTHING, StepTokens, join, without_images


def tokens(*ids: int) -> StepTokens:
    return without_images(ids, np.ones(len(ids)), np.arange(len(ids)))


def live(number: int, size: int, lead: int = 0) -> LiveStep:
    """A timestep of `size` tokens, and `lead` texts before them if it is the first."""
    later = [10 * number + 1] * size
    return LiveStep(tokens(*[10 * number] * lead, *later), tokens(*later))


def ids(context: Context) -> list[int]:
    return context.tokens().tokens.tolist()


def play(context: Context, number: int, size: int, lead: int = 0) -> None:
    context.observe(live(number, size, lead))
    context.act(tokens(10 * number + 2))


def test_the_oldest_half_of_the_own_history_goes() -> None:
    context = Context(16, 1, [tokens(7, 8)])
    for number in range(1, 5):
        play(context, number, 2)
    assert ids(context) == [7, 8, 11, 11, 12, 21, 21, 22, 31, 31, 32, 41, 41, 42]
    assert context.slides == 0
    context.take(14)
    # Three more tokens do not fit: two of four timesteps go.
    play(context, 5, 2)
    assert ids(context) == [7, 8, 31, 31, 32, 41, 41, 42, 51, 51, 52]
    assert context.slides == 1
    # The prompt is in the cache still; all else has moved.
    assert context.cached == 2
    assert context.pending == 9
    assert context.take(99).tokens.tolist() == [31, 31, 32, 41, 41, 42, 51, 51, 52]


def test_a_prompt_that_no_cache_holds_yet_is_still_to_come() -> None:
    context = Context(8, 1, [tokens(7, 8)])
    context.take(1)
    for number in range(1, 4):
        play(context, number, 2)
    assert context.slides > 0
    assert context.cached == 1
    assert context.take(99).tokens.tolist() == ids(context)[1:]


def test_a_context_may_be_full_to_the_last_token() -> None:
    context = Context(6, 1)
    play(context, 1, 2)
    play(context, 2, 2)
    assert (len(context), context.slides) == (6, 0)


def test_half_of_an_odd_history_is_the_larger_half() -> None:
    context = Context(9, 1)
    for number in range(1, 4):
        play(context, number, 2)
    play(context, 4, 2)
    assert ids(context) == [31, 31, 32, 41, 41, 42]


def test_texts_move_to_the_timestep_that_becomes_the_first() -> None:
    context = Context(14, 1, [tokens(7)])
    for number in range(1, 4):
        play(context, number, 2, lead=2)
    assert ids(context) == [7, 10, 10, 11, 11, 12, 21, 21, 22, 31, 31, 32]
    play(context, 4, 2, lead=2)
    # The texts count: the first of three timesteps is less than half of 11 tokens.
    assert ids(context) == [7, 30, 30, 31, 31, 32, 41, 41, 42]
    play(context, 5, 2, lead=2)
    assert ids(context) == [7, 30, 30, 31, 31, 32, 41, 41, 42, 51, 51, 52]


def test_a_prompt_that_is_not_pinned_goes_first() -> None:
    context = Context(8, 1, [tokens(6, 6), tokens(7, 7), tokens(8, 8), tokens(9, 9)], pinned=False)
    assert len(context) == 8
    play(context, 1, 2)
    assert ids(context) == [8, 8, 9, 9, 11, 11, 12]
    play(context, 2, 2)
    assert ids(context) == [11, 11, 12, 21, 21, 22]


def test_a_timestep_that_never_fits_is_refused() -> None:
    context = Context(6, 1, [tokens(7, 8, 9)])
    play(context, 1, 2)
    with pytest.raises(UsageError, match="has 4 tokens, but the prompt of 3 tokens leaves it 3 of"):
        context.observe(live(2, 3))


@settings(max_examples=200, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=30),
    lead=st.integers(0, 3),
    prompt=st.integers(0, 5),
    capacity=st.integers(16, 30),
    feed=st.integers(1, 9),
)
def test_against_a_slow_oracle(
    sizes: list[int], lead: int, prompt: int, capacity: int, feed: int
) -> None:
    """The cache, rebuilt from what `take` gives, holds the context; and that is as described."""
    pinned = [tokens(*range(200, 200 + prompt))] if prompt else []
    context = Context(capacity, 1, pinned)
    cache: list[int] = []
    history: list[tuple[int, int]] = []

    def size_of(steps: list[tuple[int, int]]) -> int:
        return sum(size + 1 for _, size in steps) + (lead if steps else 0)

    for number, size in enumerate(sizes):
        while prompt + size_of([*history, (number, size)]) > capacity:
            half = size_of(history) / 2
            drop = next(k for k in range(1, len(history) + 1) if size_of(history[:k]) >= half)
            history = history[drop:]
        history.append((number, size))
        context.observe(live(number, size, lead))
        while context.pending:
            held = context.cached
            taken = context.take(feed).tokens.tolist()
            cache[held:] = taken
            assert context.cached == held + len(taken)
        context.act(tokens(10 * number + 2))
        cache[context.cached :] = context.take(1).tokens.tolist()
        expected = list(range(200, 200 + prompt))
        for place, (of, length) in enumerate(history):
            expected += [10 * of] * (lead if place == 0 else 0)
            expected += [10 * of + 1] * length + [10 * of + 2]
        assert ids(context) == expected == cache
        assert len(context) == len(expected) <= capacity


def test_joining_nothing() -> None:
    assert len(join([])) == 0
    assert len(NOTHING.cut(0, 5)) == 0
