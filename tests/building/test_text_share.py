"""The estimate of the targets in windows, against counting them token by token."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.building.text_share import targets_in, text_share
from gato_data.building.units import EpisodeSize
from gato_data.sequencing.prompts import NO_PROMPT, Prompt
from gato_data.sequencing.windows import Window

# Of each step: other observation tokens, then action tokens, some of which are text.
STEPS = st.tuples(st.integers(0, 6), st.integers(0, 5), st.integers(0, 5))


def columns_of(*episodes: tuple[int, int, int, int, int]) -> dict[str, list[int]]:
    """Index columns of episodes: steps, other, observed text, action and action text of a step."""
    columns: dict[str, list[int]] = {
        name: [] for name in ("steps", "tokens", "text_tokens", "action_tokens", "target_tokens")
    }
    for steps, other, text, action, said in episodes:
        sums = (1, other + text + 1 + action + said, text + said, action + said)
        values = (*sums, text + action + said)
        for name, value in zip(columns, values, strict=True):
            columns[name].append(steps * value)
    return columns


def marks_of(steps: int, other: int, action: int, said: int) -> tuple[list[int], list[int]]:
    """Whether each token of the stream is a target, and whether it is text; actions come last."""
    targets = [0] * (other + 1) + [1] * (action + said)
    # Text of an action is spread over it as far as the estimate knows: here all or nothing.
    texts = [0] * (other + 1) + [int(not action)] * (action + said)
    return targets * steps, texts * steps


@given(shape=STEPS, steps=st.integers(1, 9), data=st.data())
def test_without_observed_text_in_the_stream_it_is_exact(
    shape: tuple[int, int, int], steps: int, data: st.DataObject
) -> None:
    other, action, said = shape
    said = 0 if action else said
    targets, texts = marks_of(steps, other, action, said)
    columns = columns_of((steps, other, 0, action, said), (steps, other, 0, action, said))
    ends = st.tuples(st.integers(0, len(targets)), st.integers(0, len(targets))).map(sorted)
    cut = []
    for number in range(data.draw(st.integers(1, 4))):
        (start, stop), (lent_start, lent_stop) = data.draw(ends), data.draw(ends)
        prompt = Prompt(lent_start, lent_stop, lead=3) if lent_start < lent_stop else NO_PROMPT
        cut.append(Window(number, start, stop, prompt, lead=2))

    def count(marks: list[int], with_prompts: bool) -> int:
        own = sum(sum(marks[window.start : window.stop]) + 2 for window in cut)
        prompts = [window.prompt for window in cut if window.prompt != NO_PROMPT]
        return own + with_prompts * sum(sum(marks[x.start : x.stop]) + 3 for x in prompts)

    for donor in (None, 1):
        expected = (count(targets, donor is not None), count(texts, donor is not None))
        assert targets_in(columns, 0, donor, cut) == pytest.approx(expected, abs=1e-6)


def test_observed_text_is_taken_as_spread_over_the_observation() -> None:
    """Steps of 4 other tokens, 8 of text, the separator and 7 of action: 20, of which 15 count."""
    columns = columns_of((10, 4, 8, 7, 0))
    whole = [Window(0, 0, 200, NO_PROMPT)]
    assert targets_in(columns, 0, None, whole) == pytest.approx((150, 80))
    # One step and half of the next one's 13 tokens before its action.
    part = [Window(0, 20, 46, NO_PROMPT), Window(1, 0, 0, NO_PROMPT)]
    assert targets_in(columns, 0, None, part) == pytest.approx((15 + 8 * 6 / 13, 8 + 8 * 6 / 13))
    # The separator is past, and two of the action.
    assert targets_in(columns, 0, None, [Window(0, 0, 15, NO_PROMPT)]) == pytest.approx((10, 8))


def test_the_share_is_over_all_episodes() -> None:
    sizes = [EpisodeSize(1, 9, 0, 10.0, 5.0), EpisodeSize(1, 9, 0, 30.0, 5.0)]
    assert text_share(sizes) == 0.25
    assert text_share([]) == 0
    assert text_share([EpisodeSize(1, 9, 0)]) == 0
