"""Windows of episodes whose texts stand only in the first timestep of a window."""

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.sequencing.prompts import NO_PROMPT, Prompt
from gato_data.sequencing.windows import Steps, Window, WindowRule, choose_prompt
from tests.sequencing.test_windows import cut, rule, steps_of

ALIGNED = rule(aligned=True)


def with_leads(sizes: list[int], leads: list[int]) -> Steps:
    return dataclasses.replace(steps_of(*sizes), leads=np.array(leads, np.int64))


def episodes() -> st.SearchStrategy[Steps]:
    """Sizes in the stream and leads; no timestep is longer than 40 with its lead."""
    pair = st.tuples(st.integers(1, 20), st.integers(0, 20))
    return st.lists(pair, min_size=1, max_size=60).map(
        lambda pairs: with_leads([size for size, _ in pairs], [lead for _, lead in pairs])
    )


@st.composite
def rules(draw: st.DrawFn, mode: str) -> WindowRule:
    length = draw(st.integers(40, 120))
    return WindowRule(
        length=length,
        mode=mode,
        per_episode=draw(st.integers(1, 30)),
        aligned=True,
        probability=draw(st.sampled_from([0.0, 0.25, 1.0])),
        from_end=draw(st.sampled_from([0.0, 0.5, 1.0])),
        prompt_length=draw(st.integers(1, length - 1)),
    )


def whole(steps: Steps, start: int) -> tuple[int, int]:
    """Number of the timestep at `start`, and its tokens with its lead."""
    number = steps.starts.tolist().index(start)
    assert steps.leads is not None
    return number, int(steps.starts[number + 1] - start + steps.leads[number])


def check_stretch(steps: Steps, part: Window | Prompt, room: int) -> None:
    """A window or prompt begins with a whole timestep, holds its texts, and is full."""
    number, first = whole(steps, part.start)
    assert steps.leads is not None
    assert part.lead == steps.leads[number]
    assert part.length == part.stop - part.start + part.lead
    assert first <= part.length <= room
    assert part.stop <= steps.tokens
    if part.stop < steps.tokens:
        assert part.length == room
    elif number:
        # The end is reached: had it begun one timestep before, it would not be.
        before = int(steps.starts[number - 1])
        assert steps.tokens - before + whole(steps, before)[1] > room
        assert room - part.length < whole(steps, before)[1]


def check(rule: WindowRule, steps: Steps, donor: Steps, found: list[Window]) -> None:
    assert [window.number for window in found] == list(range(len(found)))
    for window in found:
        check_stretch(steps, window, rule.length - window.prompt.length)
        if window.prompt != NO_PROMPT:
            check_prompt(rule, donor, window.prompt)


def check_prompt(rule: WindowRule, donor: Steps, prompt: Prompt) -> None:
    number, first = whole(donor, prompt.start)
    assert donor.leads is not None
    assert prompt.lead == donor.leads[number]
    assert first <= prompt.length <= rule.prompt_length
    if prompt.stop < donor.tokens:
        assert not prompt.from_end
        assert prompt.length == rule.prompt_length


@pytest.mark.fidelity("text-every-step")
@settings(deadline=None, max_examples=400)
@given(rule=rules("cover"), steps=episodes(), donor=episodes(), seed=st.integers(0, 99))
def test_cover(rule: WindowRule, steps: Steps, donor: Steps, seed: int) -> None:
    for pass_number in (0, 1):
        found = cut(rule, steps, donor, seed=seed, pass_number=pass_number)
        check(rule, steps, donor, found)
        covered = np.zeros(steps.tokens, bool)
        for window in found:
            covered[window.start : window.stop] = True
        assert covered.all()
        assert found[0].start == 0
        assert found[-1].stop == steps.tokens
        middle = [window.start for window in found[:-1]]
        assert all(left < right for left, right in itertools.pairwise(middle))


@pytest.mark.fidelity("text-every-step")
@settings(deadline=None, max_examples=300)
@given(rule=rules("random"), steps=episodes(), donor=episodes(), seed=st.integers(0, 99))
def test_random(rule: WindowRule, steps: Steps, donor: Steps, seed: int) -> None:
    found = cut(rule, steps, donor, seed=seed)
    assert len(found) == rule.per_episode
    check(rule, steps, donor, found)


@settings(deadline=None, max_examples=200)
@given(
    steps=episodes(), donor=episodes(), draw=st.floats(0, 1, exclude_max=True), lent=rules("cover")
)
def test_prompts(steps: Steps, donor: Steps, draw: float, lent: WindowRule) -> None:
    for from_end in (False, True):
        prompt = choose_prompt(lent, donor, from_end, draw)
        assert prompt.from_end is from_end
        if prompt.length:
            check_prompt(lent, donor, prompt)
            if from_end:
                check_stretch(donor, prompt, lent.prompt_length)


@settings(deadline=None, max_examples=200)
@given(rule=rules("cover"), steps=episodes(), seed=st.integers(0, 99))
def test_texts_without_tokens_change_nothing(rule: WindowRule, steps: Steps, seed: int) -> None:
    without = Steps(steps.starts)
    empty = Steps(steps.starts, np.zeros(len(steps.starts) - 1, np.int64))
    assert cut(rule, empty, without, seed=seed) == cut(rule, without, without, seed=seed)


@settings(deadline=None, max_examples=200)
@given(
    rule=rules("cover") | rules("random"),
    shape=st.tuples(st.integers(1, 50), st.integers(1, 20), st.integers(0, 20)),
    seed=st.integers(0, 99),
)
def test_totals_are_enough_for_the_plan(
    rule: WindowRule, shape: tuple[int, int, int], seed: int
) -> None:
    """Steps of one size with one text: the plan, which knows the sums only, cuts the same."""
    steps, size, lead = shape
    real = with_leads([size] * steps, [lead] * steps)
    planned = Steps.uniform(steps, steps * size, steps * lead)
    assert cut(rule, planned, planned, seed=seed) == cut(rule, real, real, seed=seed)


@settings(deadline=None)
@given(steps=episodes())
def test_the_plan_has_no_longer_timestep_than_the_episode(steps: Steps) -> None:
    assert steps.leads is not None
    planned = Steps.uniform(len(steps.leads), steps.tokens, int(steps.leads.sum()))
    assert planned.tokens == steps.tokens
    assert planned.longest <= steps.longest


@pytest.mark.fidelity("text-every-step")
def test_pinned() -> None:
    """A golden list: 500 steps of 6 tokens and a text of 20 before them in every window."""
    steps, donor = Steps.uniform(500, 3000, 10_000), Steps.uniform(200, 1200, 4000)
    half = dataclasses.replace(ALIGNED, probability=0.5)
    found = cut(half, steps, donor, episode="episode-1", seed=7)
    assert [(w.start, w.stop, w.prompt.start, w.prompt.stop) for w in found] == [
        (0, 1004, -1, -1),
        (444, 936, 708, 1200),
        (936, 1940, -1, -1),
        (1938, 2942, -1, -1),
        (2508, 3000, 708, 1200),
    ]
    random = dataclasses.replace(half, mode="random", per_episode=4)
    found = cut(random, steps, donor, episode="episode-1", seed=7)
    assert [(w.start, w.stop, w.prompt.start, w.prompt.stop) for w in found] == [
        (1116, 2120, -1, -1),
        (816, 1308, 708, 1200),
        (912, 1916, -1, -1),
        (1074, 2078, -1, -1),
    ]
    assert {(w.lead, w.length + w.prompt.length) for w in found} == {(20, 1024)}


def test_the_first_timestep_is_whole_or_there_is_no_prompt() -> None:
    """Of steps with 30 tokens, 20 of them text, none is whole in a prompt of 29."""
    donor = Steps.uniform(20, 200, 400)
    short = dataclasses.replace(ALIGNED, length=60, prompt_length=29, probability=1.0)
    for from_end in (0.0, 1.0):
        found = cut(dataclasses.replace(short, from_end=from_end), donor, donor)
        assert {window.prompt.length for window in found} == {0}
        assert {window.length for window in found} == {60}
        enough = dataclasses.replace(short, from_end=from_end, prompt_length=30)
        assert {window.prompt.length for window in cut(enough, donor, donor)} == {30}


@pytest.mark.parametrize("mode", ["cover", "random"])
def test_a_window_goes_without_prompt_where_its_timestep_does_not_fit_beside_it(mode: str) -> None:
    """Steps of 31 tokens, 21 of them text, beside prompts of 30 in 60 tokens."""
    used = dataclasses.replace(
        ALIGNED, mode=mode, per_episode=9, length=60, prompt_length=30, probability=1.0
    )
    steps, donor = Steps.uniform(20, 200, 420), Steps.uniform(20, 200, 400)
    found = cut(used, steps, donor)
    assert {window.prompt.length for window in found} == {0}
    assert {window.length for window in found if window.stop < steps.tokens} == {60}
    assert {window.prompt.from_end for window in found} == {False, True}


def test_a_stretch_that_reaches_the_end_with_a_short_text_begins_early() -> None:
    """The first timestep whose text leaves room for the rest, however long the texts after it."""
    steps = with_leads([10] * 5, [9, 9, 0, 9, 9])
    assert [steps.first_to_end(room) for room in (59, 58, 48, 30, 29, 28, 19, 18)] == [
        *(0, 10, 20, 20, 30, 40, 40, 50)
    ]
    assert [steps.lead(start) for start in (0, 20)] == [9, 0]
    assert [steps.holds(start, 10) for start in (0, 20)] == [False, True]
    assert steps.longest == 19
    assert Steps(steps.starts).longest == 10
