"""What `--init` leaves open is as in the run that it names."""

from pathlib import Path
from typing import Any

import pytest

from gato_data.transformer.training import loop
from pipelines import cli
from tests.transformer.training.small_runs import MODEL, TRAINING


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the verb asks the library for."""
    found: list[tuple[Any, ...]] = []

    def train(*given: Any, **_: Any) -> loop.Summary:
        found.append(given)
        return loop.Summary("run", 1, None, None, None, "train", None, None)

    monkeypatch.setattr(loop, "train", train)
    return found


def test_the_rate_and_the_model_are_those_of_the_run(
    asked: list[tuple[Any, ...]], unbroken: Path, tiny_build_arrow: Path, tmp_path: Path
) -> None:
    words = ["train", str(tiny_build_arrow), "--output", str(tmp_path / "run"), "--init"]
    assert cli.main([*words, str(unbroken)]) == 0
    assert cli.main([*words, str(unbroken), "--rate", "1e-5", "--set", "dropout=0.5"]) == 0
    assert cli.main([*words, str(unbroken), "--preset", "79m"]) == 0
    first, second, third = asked
    assert (first[2], first[3].rate) == (MODEL, TRAINING.rate)
    assert (second[2].dropout, second[3].rate) == (0.5, 1e-5)
    assert (third[2].width, third[3].rate) == (768, 1e-4)


def test_a_run_goes_on_without_the_one_that_it_began_with(
    asked: list[tuple[Any, ...]], unbroken: Path, tiny_build_arrow: Path
) -> None:
    words = ["train", str(tiny_build_arrow), "--output", str(unbroken), "--init", "gone"]
    assert cli.main(words) == 0
    assert asked[0][2] == MODEL
