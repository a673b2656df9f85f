"""The block of statistics that `inspect` shows: what it says, and that data cannot drive it."""

from pathlib import Path

import pytest
from rich.cells import cell_len

from gato_data.building.statistics import describe
from gato_data.config import PromptConfig
from gato_data.errors import UsageError
from gato_data.report.statistics_page import histogram, overview, page
from pipelines import cli

COUNTS = {
    "sequences": 2000,
    "tokens": 1_900_000,
    "padding_tokens": 148_000,
    "text_tokens": 190_000,
    "continuous_tokens": 1_610_000,
    "separator_tokens": 100_000,
    "target_tokens": 760_000,
    "text_target_tokens": 190_000,
    "prompted": 380,
    "prompts_possible": 1600,
    "prompts_drawn": 392,
    "prompts_drawn_from_end": 200,
    "prompts_from_end": 195,
    "prompts_uniform": 185,
} | {f"window_starts_{number:02}": 20 + number % 5 for number in range(17)}

PAGE = """\
toy: 2,000 sequences of 1,024: 1,900,000 tokens and 7.2 % padding
  tokens         text         10.0 %  ████
                 continuous   84.7 %  ██████████████████████████████████
                 separator     5.3 %  ██
  targets                     40.0 %  of the tokens, 25.0 % of them text
  prompted       23.8 % of the 1,600 sequences that can be (19.0 % of all): fits 25 % (p = 0.64)
                 12 more were drawn, but found no room or no usable donor
  prompts        51.3 % from the end, 48.7 % from a uniform start: fits 50 % (p = 0.69)
  window starts  ▇▇███▇▇███▇▇███▇▇  uniform (p = 1, 371 windows)
"""


def page_of(name: str = "toy", **changes: int) -> str:
    counts = COUNTS | changes
    return page(name, counts, describe(counts, 1024, PromptConfig()), 1024)


def test_a_page() -> None:
    assert page_of() == PAGE


def test_what_is_not_as_asked_for() -> None:
    found = page_of(prompts_possible=3000, prompts_drawn_from_end=392, window_starts_03=300)
    assert "(19.0 % of all): not 25 % (p = 1.8e-51)\n" in found
    assert "from a uniform start: not 50 % (p = 3e-87)\n" in found
    assert "▁▁▁█▁▁▁▁▁▁▁▁▁▁▁▁▁  not uniform (p < 1e-300, 648 windows)\n" in found


def test_what_cannot_be_told() -> None:
    few = {name: 0 for name in COUNTS if name.startswith("window")} | {"window_starts_00": 84}
    found = page_of(
        **few,
        prompts_possible=40,
        prompted=2,
        prompts_drawn=2,
        prompts_from_end=2,
        prompts_uniform=0,
    )
    assert "5.0 % of the 40 sequences that can be (0.1 % of all): too few to test\n" in found
    assert "100.0 % from the end, 0.0 % from a uniform start: too few to test\n" in found
    assert "  window starts  too few to test (84 windows; 85 tell)\n" in found
    nobody = page_of(prompts_possible=0, prompted=0, prompts_drawn=0)
    assert "  prompted       none: no episode has another of its task, agent and split\n" in nobody
    assert "  prompts " not in nobody


def test_a_page_of_nothing() -> None:
    found = page("toy", {}, describe({}, 1024, PromptConfig()), 1024)
    assert found.startswith("toy: 0 sequences of 1,024: 0 tokens and – padding\n")


def test_a_page_fits_and_cannot_drive_the_terminal() -> None:
    large = {name: 10**14 * count for name, count in COUNTS.items()}
    for found in (page_of("x" * 100), page_of("\x1b[2J\u202e"), page_of(**large)):
        assert all(cell_len(line) <= 100 for line in found.splitlines())
        assert all(character.isprintable() for character in found.replace("\n", ""))


def test_a_histogram() -> None:
    assert histogram([0, 1, 2, 3, 4, 5, 6, 7, 8]) == " ▁▂▃▄▅▆▇█"
    assert histogram([0, 1, 100, 1000]) == " ▁▁█"
    assert histogram([0, 0]) == "  "
    assert histogram([]) == ""


def test_each_data_set_has_its_page(tiny_build_arrow: Path) -> None:
    both = list(overview(str(tiny_build_arrow)))
    assert sorted(text.split(":")[0] for text in both) == ["plain", "toy"]
    (plain,) = overview(str(tiny_build_arrow), "plain")
    assert plain in both
    assert plain.startswith("plain: 13 sequences of 96: ")
    assert "  image" not in plain
    with pytest.raises(UsageError, match="no data set 'tou'"):
        overview(str(tiny_build_arrow), "tou")


def test_the_command_shows_it_above_the_sequences(
    tiny_build_arrow: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["inspect", str(tiny_build_arrow), "--dataset", "plain"]) == 0
    shown = capsys.readouterr().out
    (text,) = overview(str(tiny_build_arrow), "plain")
    assert shown.startswith(f"{text}\nplain/episode-")
    assert cli.main(["inspect", str(tiny_build_arrow), "--task", "none"]) == 2
    assert capsys.readouterr().out == ""
