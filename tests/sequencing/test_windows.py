"""Windows and prompts: what each pass covers, and how often what is drawn."""

import dataclasses
import itertools
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.sequencing import draws
from gato_data.sequencing.prompts import NO_PROMPT, Prompt
from gato_data.sequencing.windows import Steps, Window, WindowRule, choose_prompt, windows

PAPER = WindowRule(
    length=1024,
    mode="cover",
    per_episode=1,
    aligned=False,
    probability=0.25,
    from_end=0.5,
    prompt_length=512,
)


def rule(**changes: object) -> WindowRule:
    return dataclasses.replace(PAPER, **changes)  # type: ignore[arg-type]


def steps_of(*sizes: int) -> Steps:
    return Steps(np.concatenate(([0], np.cumsum(sizes))).astype(np.int64))


def cut(
    rule: WindowRule,
    steps: Steps,
    donor: Steps | None = None,
    episode: str = "episode",
    seed: int = 0,
    dataset: str = "toy",
    pass_number: int = 0,
) -> list[Window]:
    return list(windows(rule, steps, lambda: donor, seed, dataset, episode, pass_number))


def spans(cut_windows: list[Window]) -> list[tuple[int, int]]:
    return [(window.start, window.stop) for window in cut_windows]


def ranges(cut_windows: list[Window]) -> list[tuple[int, int, int, int]]:
    return [(w.start, w.stop, w.prompt.start, w.prompt.stop) for w in cut_windows]


# What holds for every rule, episode and donor.

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=60)


@st.composite
def rules(draw: st.DrawFn, mode: str) -> WindowRule:
    length = draw(st.integers(40, 200))  # no step above is longer
    return WindowRule(
        length=length,
        mode=mode,
        per_episode=draw(st.integers(1, 40)),
        aligned=draw(st.booleans()),
        probability=draw(st.sampled_from([0.0, 0.25, 1.0])),
        from_end=draw(st.sampled_from([0.0, 0.5, 1.0])),
        prompt_length=draw(st.integers(1, length - 1)),
    )


def check_bounds(rule: WindowRule, steps: Steps, donor: Steps, found: list[Window]) -> None:
    starts, donor_starts = set(steps.starts.tolist()), set(donor.starts.tolist())
    assert [window.number for window in found] == list(range(len(found)))
    for window in found:
        room = rule.length - window.prompt.length
        assert 0 <= window.start < window.stop <= steps.tokens
        assert window.stop - window.start <= room
        if window.stop < steps.tokens or not rule.aligned:
            # No padding but where the episode is too short, or ends at an aligned window.
            assert window.stop - window.start == min(room, steps.tokens)
        if rule.aligned:
            assert window.start in starts
        check_prompt(rule, donor, donor_starts, window.prompt)


def check_prompt(rule: WindowRule, donor: Steps, starts: set[int], prompt: Prompt) -> None:
    if prompt == NO_PROMPT:
        assert prompt.length == 0
        return
    assert 0 <= prompt.start < prompt.stop <= donor.tokens
    assert prompt.length <= rule.prompt_length
    if rule.from_end == 1:
        assert prompt.stop == donor.tokens
    if rule.aligned:
        assert prompt.start in starts
    else:
        assert prompt.length == min(rule.prompt_length, donor.tokens)


@pytest.mark.fidelity("window-cover", "window-full")
@settings(deadline=None, max_examples=300)
@given(rule=rules("cover"), own=sizes, lent=sizes, seed=st.integers(0, 99))
def test_cover(rule: WindowRule, own: list[int], lent: list[int], seed: int) -> None:
    steps, donor = steps_of(*own), steps_of(*lent)
    for pass_number in (0, 1):
        found = cut(rule, steps, donor, seed=seed, pass_number=pass_number)
        check_bounds(rule, steps, donor, found)
        covered = np.zeros(steps.tokens, bool)
        for window in found:
            covered[window.start : window.stop] = True
        assert covered.all()
        # Progress: only the edges are clamped.
        begins = [window.start for window in found]
        assert begins[0] == 0
        assert all(left < right for left, right in itertools.pairwise(begins[1:-1]))
        assert found[-1].stop == steps.tokens


@pytest.mark.fidelity("window-start", "window-full", "episode-share")
@settings(deadline=None, max_examples=200)
@given(rule=rules("random"), own=sizes, lent=sizes, seed=st.integers(0, 99))
def test_random(rule: WindowRule, own: list[int], lent: list[int], seed: int) -> None:
    steps, donor = steps_of(*own), steps_of(*lent)
    found = cut(rule, steps, donor, seed=seed)
    assert len(found) == rule.per_episode
    check_bounds(rule, steps, donor, found)


@pytest.mark.fidelity("window-start", "prompt-share", "prompt-ends")
def test_pinned() -> None:
    """A golden list: what a build contains must never change with the code."""
    steps, donor = Steps.uniform(500, 3000), Steps.uniform(200, 1200)
    found = cut(rule(probability=0.5), steps, donor, episode="episode-1", seed=7)
    assert ranges(found) == [
        (0, 1024, -1, -1),
        (449, 961, 688, 1200),
        (961, 1985, -1, -1),
        (1976, 3000, -1, -1),
    ]
    found = cut(rule(mode="random", per_episode=4), steps, donor, episode="episode-1", seed=7)
    assert spans(found) == [(1102, 2126), (642, 1666), (900, 1924), (1064, 2088)]
    found = cut(rule(aligned=True, probability=0.5), steps, donor, episode="episode-1", seed=7)
    assert ranges(found) == [
        (0, 1024, -1, -1),
        (450, 964, 690, 1200),
        (960, 1984, -1, -1),
        (1980, 3000, -1, -1),
    ]


@pytest.mark.fidelity("window-start")
@pytest.mark.parametrize("seed", range(40))
def test_the_phase_of_an_episode_of_one_and_a_half_windows(seed: int) -> None:
    """The phase is one of a whole window, however little of the episode is left for the next."""
    phase = draws.generator(seed, "windows", "toy", "episode", 0).random()
    first = 1024 - int(phase * 1024)
    found = spans(cut(rule(probability=0.0), Steps.uniform(250, 1500), seed=seed))
    middle = [(first, first + 1024)] if first + 1024 < 1500 else []
    assert found == [(0, 1024), *middle, (476, 1500)]


@pytest.mark.fidelity("window-start")
def test_a_pure_function_of_its_names() -> None:
    steps, donor = Steps.uniform(500, 3000), Steps.uniform(200, 1200)
    one = cut(PAPER, steps, donor)
    assert cut(PAPER, steps, donor) == one
    others = [
        cut(PAPER, steps, donor, seed=1),
        cut(PAPER, steps, donor, dataset="other"),
        cut(PAPER, steps, donor, episode="other"),
        cut(PAPER, steps, donor, pass_number=1),
    ]
    assert one not in others
    assert all(a != b for i, a in enumerate(others) for b in others[:i])


@pytest.mark.parametrize("count", [1, 15, 16, 17, 33, 64])
def test_a_window_does_not_depend_on_how_many_follow(count: int) -> None:
    steps, donor = Steps.uniform(500, 3000), Steps.uniform(200, 1200)
    many = cut(rule(mode="random", per_episode=65), steps, donor)
    assert cut(rule(mode="random", per_episode=count), steps, donor) == many[:count]


@pytest.mark.fidelity("sequence-length", "window-full")
def test_short_episodes_are_one_window() -> None:
    for tokens in (1, 6, 1023, 1024):
        assert spans(cut(PAPER, Steps.uniform(1, tokens), None)) == [(0, tokens)]
    # A prompt leaves room for 512: one window up to there, then two.
    always, donor = rule(probability=1.0), Steps.uniform(1, 600)
    assert spans(cut(always, Steps.uniform(1, 512), donor)) == [(0, 512)]
    (first, second) = spans(cut(always, Steps.uniform(1, 513), donor))
    assert (first, second) == ((0, 512), (1, 513))


@pytest.mark.fidelity("window-full")
def test_one_token_more_than_a_window() -> None:
    assert spans(cut(PAPER, Steps.uniform(1, 1025), None)) == [(0, 1024), (1, 1025)]


@pytest.mark.fidelity("window-cover", "prompt-length")
def test_the_walk_advances_by_the_tokens_used() -> None:
    """Between the clamped first and last window, each begins where the one before ended."""
    donor = Steps.uniform(1, 700)
    lengths = Counter[int]()
    for episode in range(50):
        found = cut(PAPER, Steps.uniform(1, 20_000), donor, episode=str(episode))
        middle = spans(found)[1:-1]
        assert all(left[1] == right[0] for left, right in itertools.pairwise(middle))
        lengths.update(stop - start for start, stop in middle)
    assert set(lengths) == {512, 1024}  # with and without prompt


@pytest.mark.fidelity("window-start")
def test_the_phase_is_uniform() -> None:
    """Where the second window begins: anywhere in the first one."""
    second = [
        cut(rule(probability=0.0), Steps.uniform(1, 5000), episode=str(number))[1].start
        for number in range(2000)
    ]
    assert min(second) >= 1
    assert max(second) <= 1024
    counts = np.histogram(second, bins=8, range=(0, 1024))[0]
    assert abs(counts - 250).max() < 75  # five standard deviations


@pytest.mark.fidelity("prompt-share", "prompt-ends")
@pytest.mark.parametrize("mode", ["cover", "random"])
@pytest.mark.parametrize("aligned", [False, True])
def test_a_quarter_is_prompted_half_of_them_from_the_end(mode: str, aligned: bool) -> None:
    """Section 2.3 of the paper, over the windows of many episodes."""
    donor = Steps.uniform(2000, 12_000)
    used = rule(mode=mode, aligned=aligned, per_episode=2)
    prompts = [
        window.prompt
        for episode in range(2000)
        for window in cut(used, Steps.uniform(500, 3000), donor, episode=str(episode))
    ]
    prompted = [prompt for prompt in prompts if prompt.length]
    assert len(prompts) >= 4000
    assert abs(len(prompted) / len(prompts) - 0.25) < 0.03
    from_end = [prompt for prompt in prompted if prompt.stop == donor.tokens]
    assert abs(len(from_end) / len(prompted) - 0.5) < 0.06
    # The other half begins anywhere.
    starts = [prompt.start for prompt in prompted if prompt.stop < donor.tokens]
    counts = np.histogram(starts, bins=4, range=(0, 12_000 - 512))[0]
    assert abs(counts / len(starts) - 0.25).max() < 0.08


@pytest.mark.fidelity("prompt-share", "prompt-ends")
def test_the_shares_converge() -> None:
    """Within four standard deviations of 25 %, and of half and half, the more the nearer."""
    donor, prompts = Steps.uniform(2000, 12_000), []
    for episode in range(320):
        steps = Steps.uniform(10_000, 100_000)
        prompts += [window.prompt for window in cut(PAPER, steps, donor, episode=str(episode))]
    assert len(prompts) > 32_000
    for count in (500, 2000, 8000, 32_000):
        prompted = [prompt for prompt in prompts[:count] if prompt.length]
        share = len(prompted) / count
        assert abs(share - 0.25) < 4 * (0.25 * 0.75 / count) ** 0.5
        ends = sum(prompt.stop == donor.tokens for prompt in prompted) / len(prompted)
        assert abs(ends - 0.5) < 4 * (0.25 / len(prompted)) ** 0.5


@pytest.mark.fidelity("prompt-share", "prompt-ends")
def test_shares_are_what_is_asked_for() -> None:
    donor = Steps.uniform(2000, 12_000)
    for probability, from_end in [(0.0, 0.5), (1.0, 0.0), (1.0, 1.0)]:
        used = rule(probability=probability, from_end=from_end)
        prompts = [
            window.prompt
            for episode in range(60)
            for window in cut(used, Steps.uniform(500, 3000), donor, episode=str(episode))
        ]
        assert all((prompt.length == 512) == (probability == 1) for prompt in prompts)
        ends = Counter(prompt.stop == 12_000 for prompt in prompts)
        assert ends[True] == (len(prompts) if probability and from_end else 0)


def test_a_donor_is_asked_only_when_a_prompt_is_drawn() -> None:
    asked: list[int] = []

    def ask(lender: Steps | None) -> Callable[[], Steps | None]:
        return lambda: (asked.append(1), lender)[1]

    def run(used: WindowRule, lender: Steps | None) -> list[Window]:
        asked.clear()
        return list(windows(used, Steps.uniform(1, 9000), ask(lender), 0, "toy", "x", 0))

    without = run(rule(probability=0.0), Steps.uniform(1, 99))
    assert asked == []
    nobody = run(rule(probability=1.0), None)
    assert len(asked) == len(nobody)
    assert nobody == without
    prompted = run(rule(probability=0.25), Steps.uniform(1, 99))
    assert len(asked) == sum(window.prompt != NO_PROMPT for window in prompted)


def reached(used: WindowRule, steps: Steps, donor: Steps | None) -> set[int]:
    """The tokens of the episode that some window holds."""
    tokens: set[int] = set()
    for window in cut(used, steps, donor):
        tokens.update(range(window.start, window.stop))
    return tokens


@pytest.mark.fidelity("window-start")
@pytest.mark.parametrize("aligned", [False, True])
def test_random_windows_reach_every_token(aligned: bool) -> None:
    """Also the last timestep, whose start is not a window's length before the end."""
    used = rule(mode="random", aligned=aligned, per_episode=400, length=100, prompt_length=50)
    steps = steps_of(*[7] * 40, 60)
    assert reached(used, steps, None) == set(range(steps.tokens))
    always = dataclasses.replace(used, probability=1.0)
    # 50 tokens of room for the last step of 60: its end is out of reach, all else is not.
    assert reached(always, steps, steps) >= set(range(steps.tokens - 10))


@pytest.mark.fidelity("window-start")
def test_random_aligned_starts_are_uniform_over_the_timesteps() -> None:
    used = rule(mode="random", aligned=True, per_episode=3000, length=12, probability=0.0)
    counts = Counter(start for start, _ in spans(cut(used, Steps.uniform(10, 60))))
    assert sorted(counts) == list(range(0, 54, 6))  # 48 is the first to reach the end
    assert max(abs(count - 3000 / 9) for count in counts.values()) < 90


@pytest.mark.fidelity("prompt-ends")
def test_uniform_prompts_reach_every_token_of_the_donor() -> None:
    donor = steps_of(*[7] * 40)
    for aligned in (False, True):
        used = rule(aligned=aligned, prompt_length=50, length=100)
        tokens: set[int] = set()
        for number in range(400):
            prompt = choose_prompt(used, donor, False, number / 400)
            tokens.update(range(prompt.start, prompt.stop))
        assert tokens == set(range(donor.tokens))


def test_aligned_walk_goes_on_where_a_timestep_does_not_fit_beside_a_prompt() -> None:
    """Steps of 60 tokens, room for 50 beside a prompt: those windows go without one."""
    used = rule(aligned=True, probability=1.0, length=100, prompt_length=50)
    found = cut(used, steps_of(60, 60, 60, 20, 20), steps_of(*[10] * 30))
    assert [(w.start, w.stop, w.prompt.length) for w in found[-4:]] == [
        (0, 100, 0),
        (60, 160, 0),
        (120, 220, 0),
    ]


@pytest.mark.fidelity("prompt-ends", "prompt-length")
@pytest.mark.parametrize(
    ("donor", "from_end", "draw", "prompt"),
    [
        (steps_of(*[6] * 100), True, 0.3, Prompt(88, 600)),
        (steps_of(*[6] * 100), False, 0.0, Prompt(0, 512)),
        (steps_of(*[6] * 100), False, 0.5, Prompt(44, 556)),  # 0.5 * 89 = 44.5
        (steps_of(*[6] * 100), False, 0.999, Prompt(88, 600)),
        (steps_of(300), True, 0.3, Prompt(0, 300)),
        (steps_of(300), False, 0.9, Prompt(0, 300)),
        (steps_of(512), False, 0.9, Prompt(0, 512)),
    ],
)
def test_prompts(donor: Steps, from_end: bool, draw: float, prompt: Prompt) -> None:
    assert choose_prompt(PAPER, donor, from_end, draw) == prompt


@pytest.mark.fidelity("prompt-ends", "prompt-length")
@pytest.mark.parametrize(
    ("donor", "from_end", "draw", "prompt"),
    [
        # From the end: the whole timesteps of the last 512 tokens.
        (steps_of(*[6] * 100), True, 0.3, Prompt(90, 600)),
        (steps_of(88, 512), True, 0.3, Prompt(88, 600)),
        (steps_of(80, 520), True, 0.3, NO_PROMPT),
        # Uniform: one of the starts 0, 6 … 90, from the last of which the end is reached.
        (steps_of(*[6] * 100), False, 0.0, Prompt(0, 512)),
        (steps_of(*[6] * 100), False, 0.5, Prompt(48, 560)),
        (steps_of(*[6] * 100), False, 0.999, Prompt(90, 600)),
        (steps_of(80, 520), False, 0.6, Prompt(80, 592)),
        (steps_of(300), False, 0.9, Prompt(0, 300)),
    ],
)
def test_aligned_prompts(donor: Steps, from_end: bool, draw: float, prompt: Prompt) -> None:
    assert choose_prompt(rule(aligned=True), donor, from_end, draw) == prompt


def test_a_prompt_knows_how_it_was_drawn() -> None:
    """Also one that found no room, or nobody to lend it; the range is equal however it came."""
    donor, used = steps_of(80, 520), rule(aligned=True, probability=1.0)
    drawn = [choose_prompt(used, donor, from_end, 0.6) for from_end in (True, False)]
    assert [(x.length, x.from_end) for x in drawn] == [(0, True), (512, False)]
    assert drawn[0] == NO_PROMPT
    assert NO_PROMPT.from_end is None
    assert choose_prompt(PAPER, steps_of(300), True, 0.6) == choose_prompt(
        PAPER, steps_of(300), False, 0.6
    )
    for from_end in (0.0, 1.0):
        always = rule(probability=1.0, from_end=from_end)
        crowded = dataclasses.replace(always, aligned=True, length=100, prompt_length=50)
        for found in (
            cut(always, Steps.uniform(500, 3000), None),
            cut(always, Steps.uniform(500, 3000), steps_of(600)),
            cut(crowded, steps_of(60, 60, 60), steps_of(*[10] * 30)),
        ):
            assert {window.prompt.from_end for window in found} == {from_end == 1}
    never = cut(rule(probability=0.0), Steps.uniform(500, 3000), donor)
    assert {window.prompt.from_end for window in never} == {None}


def test_legal_starts() -> None:
    steps = steps_of(*[6] * 10)
    assert [steps.legal_starts(room, False) for room in (1, 59, 60, 61)] == [60, 2, 1, 1]
    # The first timestep from which the end is reached is the last to start from.
    assert [steps.legal_starts(room, True) for room in (6, 7, 53, 54, 60, 61)] == [
        10,
        10,
        3,
        2,
        1,
        1,
    ]


def test_steps() -> None:
    steps = steps_of(3, 4, 5)
    assert steps.tokens == 12
    assert [steps.floor(token) for token in (0, 2, 3, 6, 7, 11, 12)] == [0, 0, 3, 3, 7, 7, 12]
    assert [steps.ceil(token) for token in (0, 1, 3, 4, 7, 8, 12)] == [0, 3, 3, 7, 7, 12, 12]
    assert steps.range_of(0, 12) == (0, 3)
    assert steps.range_of(0, 1) == (0, 1)
    assert steps.range_of(2, 4) == (0, 2)
    assert steps.range_of(3, 7) == (1, 2)
    assert steps.range_of(6, 8) == (1, 3)
    assert Steps.uniform(3, 12).starts.tolist() == [0, 4, 8, 12]
    assert Steps.uniform(0, 0).starts.tolist() == [0]
