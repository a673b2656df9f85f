"""Prism: the same bytes. `make test-prism` brings it, and says what it made."""

from pathlib import Path

import pytest

from tests.engines import prism
from tests.engines.runs import build, check_paragraph, check_same, content

pytestmark = pytest.mark.slow

RUNNERS = ("PrismRunner", "DirectRunner")


@pytest.fixture(scope="module")
def location() -> str:
    reason = prism.why_not()
    if reason is not None:
        pytest.skip(f"Prism cannot be had: {reason}")
    return f"--prism_location={prism.PRISM}"


@pytest.mark.parametrize("runner", RUNNERS)
def test_episodes_and_documents(
    config: Path, built: Path, tmp_path: Path, location: str, runner: str
) -> None:
    run = build(config, tmp_path / "out", f"--runner={runner}", location)
    check_same(run, tmp_path / "out", built)


def test_direct_runner_is_prism(config: Path, tmp_path: Path, location: str) -> None:
    run = build(config, tmp_path / "out", "--runner=DirectRunner", location, "--debug")
    assert run.status == 0
    # The index, and the build.
    assert run.errors.count("pipeline done!") == 2


@pytest.mark.parametrize("runner", RUNNERS)
def test_an_error_of_a_worker_is_one_paragraph(
    config: Path, unreadable: Path, location: str, runner: str
) -> None:
    check_paragraph(build(config, unreadable, f"--runner={runner}", location), unreadable)


def test_the_demo(demo: Path, built_demo: Path, tmp_path: Path, location: str) -> None:
    run = build(demo, tmp_path / "out", "--runner=PrismRunner", location)
    check_same(run, tmp_path / "out", built_demo)
    print(f"the demo on Prism: {content(tmp_path / 'out')} in {run.seconds:.0f} s")
