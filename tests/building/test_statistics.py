"""What is counted of windows and prompts, and that its tests accept right builds and no others."""

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.building.fit import BINS
from gato_data.building.statistics import Cell, describe, start_cells, tally, without_bins
from gato_data.config import PromptConfig
from gato_data.sequencing import windows as walk
from gato_data.sequencing.prompts import NO_PROMPT, Prompt, nothing_lent
from gato_data.sequencing.windows import Steps, Window, WindowRule, windows

PAPER = WindowRule(
    length=1024,
    mode="cover",
    per_episode=1,
    aligned=False,
    probability=0.25,
    from_end=0.5,
    prompt_length=512,
)
SHORT = dataclasses.replace(PAPER, length=128, prompt_length=48)
NAMES = ("toy", "episode", 0)


def rule(base: WindowRule = PAPER, **changes: object) -> WindowRule:
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def steps_of(sizes: Sequence[int], leads: Sequence[int] | None = None) -> Steps:
    starts = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    return Steps(starts, None if leads is None else np.array(leads, np.int64))


def cells(used: WindowRule, steps: Steps, *found: tuple[int, int, Prompt]) -> list[Cell]:
    cut = [Window(number, *values) for number, values in enumerate(found)]
    return list(start_cells(used, steps, cut))


# Which starts tell something, and how likely each was.


def test_cells_of_cover() -> None:
    """The second window begins 1 to 1024 tokens after the first, each as likely."""
    steps, other = steps_of([6] * 500), (1500, 3000, NO_PROMPT)
    assert cells(PAPER, steps, (0, 1024, NO_PROMPT), (449, 1473, NO_PROMPT), other) == [
        Cell(window=1, low=448, high=449, size=1024)
    ]
    # A prompt leaves the first window 512 tokens.
    assert cells(PAPER, steps, (0, 512, Prompt(0, 512)), (512, 1536, NO_PROMPT), other) == [
        Cell(window=1, low=511, high=512, size=512)
    ]


def test_cells_of_cover_aligned() -> None:
    """A timestep is reached from all tokens of the one before it."""
    used, steps = rule(aligned=True), steps_of([6] * 500)
    for start, low, high in [(6, 0, 6), (450, 444, 450), (1014, 1008, 1014), (1020, 1014, 1024)]:
        found = cells(used, steps, (0, 1024, NO_PROMPT), (start, start + 1024, NO_PROMPT))
        assert found == [Cell(window=1, low=low, high=high, size=1024)]


def test_cells_of_random() -> None:
    used, steps = rule(mode="random"), steps_of([6] * 500)
    found = cells(used, steps, (1102, 2126, NO_PROMPT), (642, 1154, Prompt(0, 512)))
    # 3000 - 1024 + 1 starts, and with a prompt 512 more.
    assert found == [Cell(0, 1102, 1103, 1977), Cell(1, 642, 643, 2489)]
    found = cells(rule(used, aligned=True), steps, (1980, 3000, NO_PROMPT), (0, 1024, NO_PROMPT))
    # 330 x 6 = 1980 is the first start that reaches the end.
    assert found == [Cell(0, 330, 331, 331), Cell(1, 0, 1, 331)]


def test_starts_that_tell_nothing() -> None:
    whole, nothing = (0, 1024, NO_PROMPT), NO_PROMPT
    # One window; two windows that overlap; timesteps too large for one in each bin.
    assert cells(PAPER, steps_of([6] * 100), (0, 600, nothing)) == []
    assert cells(PAPER, steps_of([2047]), whole, (1023, 2047, nothing)) == []
    assert cells(PAPER, steps_of([2048]), whole, (1024, 2048, nothing)) != []
    large = steps_of([64] * 60)
    assert cells(rule(aligned=True), large, whole, (64, 1088, nothing)) == []
    assert cells(rule(mode="random"), steps_of([1039]), (3, 1027, nothing)) == []
    assert cells(rule(mode="random"), steps_of([1040]), (3, 1027, nothing)) != []
    assert cells(rule(mode="random", aligned=True), steps_of([100] * 25), whole) == []
    assert cells(rule(mode="random", aligned=True), steps_of([100] * 26), whole) != []


def test_a_prompt_that_may_have_given_way_tells_nothing() -> None:
    """Where text leads windows, the start is drawn anew without a prompt that leaves no room."""
    used, steps = rule(mode="random", aligned=True), steps_of([6] * 500, [4] * 500)
    drawn = (60, 1080, nothing_lent(True)), (60, 1080, Prompt(0, 512, False))
    assert cells(used, steps, (60, 1080, NO_PROMPT), *drawn) == [Cell(0, 10, 11, 331)]
    without_text = steps_of([6] * 500)
    assert len(cells(used, without_text, (60, 1080, NO_PROMPT), *drawn)) == 3


sizes = st.lists(st.integers(1, 9), min_size=30, max_size=80)


@settings(deadline=None, max_examples=60)
@given(
    sizes=sizes,
    aligned=st.booleans(),
    first_text=st.integers(0, 9),
    length=st.integers(40, 90),
    lent=st.booleans(),
)
def test_a_cell_of_cover_is_as_wide_as_it_is_likely(
    sizes: list[int], aligned: bool, first_text: int, length: int, lent: bool
) -> None:
    """All phases there are, each once: the cells that they lead to have no gap and no overlap."""
    # Only aligned windows have text that stands in their first timestep alone.
    leads = [(first_text + number) % 10 for number in range(len(sizes))] if aligned else None
    steps, used = steps_of(sizes, leads), rule(aligned=aligned, length=length)
    room = length - 15 * lent - first_text * aligned
    reached: Counter[Cell] = Counter()
    for offset in range(room):
        phase = (offset + 0.5) / room
        cut = list(
            walk._cover(used, steps, phase, lambda number: prompt_of(15, lent and not number))
        )
        reached.update(start_cells(used, steps, cut))
    if not reached:
        return
    assert sum(reached.values()) == room
    assert all(count == cell.high - cell.low for cell, count in reached.items())
    assert all(cell.size == room for cell in reached)
    ends = sorted((cell.low, cell.high) for cell in reached)
    assert [0, *(high for _, high in ends)] == [*(low for low, _ in ends), room]


def prompt_of(length: int, lent: bool) -> Prompt:
    return Prompt(0, length, True) if lent else NO_PROMPT


@settings(deadline=None, max_examples=60)
@given(sizes=sizes, aligned=st.booleans(), length=st.integers(20, 90))
def test_a_cell_of_random_is_as_wide_as_it_is_likely(
    sizes: list[int], aligned: bool, length: int
) -> None:
    steps, used = steps_of(sizes), rule(mode="random", aligned=aligned, length=length)
    choices = steps.legal_starts(length, aligned)
    draws = [(place + 0.5) / choices for place in range(choices)]
    starts = [steps.draw_start(draw, length, aligned) for draw in draws]
    found = cells(used, steps, *((start, start + 1, NO_PROMPT) for start in starts))
    expected = [Cell(n, n, n + 1, choices) for n in range(choices)] if choices >= BINS else []
    assert found == expected


@pytest.mark.parametrize(
    ("cell", "draw", "number"),
    [
        (Cell(0, 0, 1, 34), 0.0, 0),
        (Cell(0, 2, 3, 34), 0.0, 1),
        (Cell(0, 1, 2, 17), 0.999, 1),
        # One that spans the bins 0 to 16 falls where its draw says.
        (Cell(0, 0, 20, 20), 0.5, 8),
        (Cell(0, 0, 20, 20), 0.999, 16),
        (Cell(0, 33, 34, 34), 1 - 2**-53, 16),
        # Starts outside what is allowed are counted, too.
        (Cell(0, -1, 0, 34), 0.3, 0),
        (Cell(0, 40, 41, 34), 0.3, 16),
    ],
)
def test_bins(cell: Cell, draw: float, number: int) -> None:
    assert cell.bin(draw) == number


# What is counted of the prompts.


def count(*prompts: Prompt, has_donor: bool = True) -> dict[str, int]:
    cut = [Window(number, 0, 3, prompt) for number, prompt in enumerate(prompts)]
    return dict(tally(PAPER, steps_of([3]), cut, has_donor, 0, *NAMES))


def test_prompts_are_counted_by_how_they_were_drawn() -> None:
    end, start = Prompt(5, 9, True), Prompt(5, 9, False)
    # One more of either kind was drawn, and not given.
    refused = [nothing_lent(True), nothing_lent(False)]
    assert count(end, start, NO_PROMPT, start, *refused) == {
        "prompts_possible": 6,
        "prompts_drawn": 5,
        "prompts_drawn_from_end": 2,
        "prompts_from_end": 1,
        "prompts_uniform": 2,
    }


def test_without_a_donor_no_prompt_is_possible() -> None:
    assert count(NO_PROMPT, nothing_lent(True), has_donor=False) == {}


def test_the_manifest_shows_the_bins_once() -> None:
    counts = {"sequences": 3, "window_starts_00": 1, "window_starts_16": 2, "tokens": 9}
    assert without_bins(counts) == {"sequences": 3, "tokens": 9}
    assert describe(counts, 4, PromptConfig())["window_starts"] == {
        "samples": 3,
        "bins": [1, *[0] * 15, 2],
        "chi_square": None,
        "p_value": None,
    }


def test_described() -> None:
    counts = {
        "sequences": 1000,
        "tokens": 90_000,
        "padding_tokens": 10_000,
        "text_tokens": 30_000,
        "continuous_tokens": 60_000,
        "target_tokens": 45_000,
        "text_target_tokens": 15_000,
        "prompted": 180,
        "prompts_possible": 800,
        "prompts_drawn": 200,
        "prompts_drawn_from_end": 110,
        "prompts_from_end": 100,
        "prompts_uniform": 80,
    } | {f"window_starts_{number:02}": 10 + (number == 3) for number in range(17)}
    assert describe(counts, 100, PromptConfig()) == {
        "token_share": {
            "text": 0.333333,
            "image": 0,
            "discrete": 0,
            "continuous": 0.666667,
            "separator": 0,
        },
        "target_share": 0.5,
        "text_share_of_targets": 0.333333,
        "padding_share": 0.1,
        "prompts": {
            "prompted": 180,
            "share_of_all": 0.18,
            "possible": 800,
            "share": 0.225,
            "drawn": 200,
            "expected": 0.25,
            "p_value": 1,
        },
        "prompt_ends": {
            "from_end": 100,
            "uniform": 80,
            "share": 0.555556,
            "drawn": 110,
            "expected": 0.5,
            "p_value": 0.157299,  # 10 more than 100, of a deviation of sqrt(50)
        },
        "window_starts": {
            "samples": 171,
            "bins": [10, 10, 10, 11, *[10] * 13],
            "chi_square": 0.0935673,  # (16/17)² and 16 (1/17)², over 171/17
            "p_value": 1,
        },
    }


def test_statistics_of_nothing() -> None:
    found = describe({}, 1024, PromptConfig())
    assert set(found["token_share"].values()) == {None}
    assert found["target_share"] is found["padding_share"] is None
    assert found["prompts"]["share"] is found["prompts"]["p_value"] is None
    assert found["prompt_ends"]["share"] is found["prompt_ends"]["p_value"] is None


# Right rules are accepted, wrong ones are not: episodes of many lengths, all modes.

MODES = [
    pytest.param(mode, aligned, leads, id=f"{mode}{', aligned' * aligned}{', leads' * leads}")
    for mode, aligned, leads in [
        ("cover", False, False),
        ("cover", True, False),
        ("cover", True, True),
        ("random", False, False),
        ("random", True, False),
        ("random", True, True),
    ]
]
Cut = Callable[[WindowRule, Steps, Steps, int, str], list[Window]]


def rightly(used: WindowRule, steps: Steps, donor: Steps, seed: int, name: str) -> list[Window]:
    return list(windows(used, steps, lambda: donor, seed, "toy", name, 0))


def episodes(leads: bool, count: int = 150) -> Iterator[Steps]:
    random = np.random.default_rng(1)
    for _ in range(count):
        steps = int(random.integers(50, 110))
        texts = random.integers(0, 9, steps).tolist() if leads else None
        yield steps_of(random.integers(2, 7, steps).tolist(), texts)


def p_values(
    used: WindowRule, seed: int, leads: bool = False, cut: Cut = rightly, count: int = 150
) -> tuple[float, float, float]:
    """Of prompt share, end share and window starts, over one small build's worth of windows."""
    counts: Counter[str] = Counter()
    donor = steps_of([5] * 40, [3] * 40 if leads else None)
    for number, steps in enumerate(episodes(leads, count)):
        found = cut(used, steps, donor, seed, str(number))
        counts += tally(used, steps, found, True, seed, "toy", str(number), 0)
    stated = describe(counts, used.length, PromptConfig())
    names = ("prompts", "prompt_ends", "window_starts")
    return tuple(stated[name]["p_value"] for name in names)  # type: ignore[return-value]


@pytest.mark.parametrize(("mode", "aligned", "leads"), MODES)
def test_right_windows_are_accepted(mode: str, aligned: bool, leads: bool) -> None:
    used = rule(SHORT, mode=mode, aligned=aligned, per_episode=3)
    found = np.array([p_values(used, seed, leads) for seed in range(40)])
    # Uniform over the seeds: as many below as the level says, none of them tiny.
    assert found.min() > 0.001
    assert ((found < 0.1).sum(axis=0) <= 10).all()  # of 40: 4, and three deviations
    assert (abs(found.mean(axis=0) - 0.5) < 0.15).all()  # 0.29 / sqrt(40), three times


def without_phase(
    used: WindowRule, steps: Steps, donor: Steps, seed: int, name: str
) -> list[Window]:
    return list(walk._cover(used, steps, 0.0, lambda number: NO_PROMPT))


def half_a_phase(
    used: WindowRule, steps: Steps, donor: Steps, seed: int, name: str
) -> list[Window]:
    phase = np.random.default_rng([seed, int(name)]).random() / 2
    return list(walk._cover(used, steps, phase, lambda number: NO_PROMPT))


def clamped(used: WindowRule, steps: Steps, donor: Steps, seed: int, name: str) -> list[Window]:
    """Any token as a start, then moved back into the episode: its end is drawn too often."""
    last = steps.tokens - used.length
    starts = np.random.default_rng([seed, int(name)]).integers(0, steps.tokens, 3).clip(max=last)
    if used.aligned:
        starts = np.array([steps.ceil(start) for start in starts.tolist()])
    return [Window(n, start, steps.tokens, NO_PROMPT) for n, start in enumerate(starts.tolist())]


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize(
    ("mode", "wrongly"),
    [("cover", without_phase), ("cover", half_a_phase), ("random", clamped)],
)
def test_wrong_starts_are_found(mode: str, wrongly: Cut, aligned: bool) -> None:
    used = rule(SHORT, mode=mode, aligned=aligned, probability=0.0)
    for seed in range(5):
        assert p_values(used, seed, cut=wrongly)[2] < 1e-8


@pytest.mark.parametrize(
    ("changes", "test"),
    [
        ({"from_end": 0.0}, 1),
        ({"from_end": 1.0}, 1),
        ({"from_end": 0.25}, 1),
        ({"probability": 0.125}, 0),
        ({"probability": 0.4}, 0),
        ({"probability": 1.0}, 0),
    ],
)
def test_wrong_shares_are_found(changes: dict[str, float], test: int) -> None:
    used = rule(SHORT, **changes)
    for seed in range(5):
        assert p_values(used, seed, count=300)[test] < 1e-5


def test_a_quarter_of_the_windows_with_room_is_no_quarter_of_all() -> None:
    """Prompts that are drawn and find no room count as drawn: chance was not to blame."""
    used = rule(SHORT, aligned=True, probability=0.25, prompt_length=100)
    large, counts = steps_of([60] * 60), Counter[str]()
    for number in range(60):
        cut = rightly(used, large, steps_of([5] * 40), 0, str(number))
        counts += tally(used, large, cut, True, 0, "toy", str(number), 0)
    stated = describe(counts, used.length, PromptConfig())["prompts"]
    assert counts["prompts_from_end"] == counts["prompts_uniform"] == 0
    assert 300 < stated["drawn"] < stated["possible"] / 3
    assert stated["p_value"] > 0.01
