"""`kind: minari` in a config: what it takes, and what has no meaning for it."""

from pathlib import Path

import pytest

from gato_data.config import config_from_json, load_config
from tests.test_config_refusals import refusal

MINIMAL = "datasets:\n  - name: pole\n    kind: minari\n    path: data\n"


def test_a_minimal_data_set(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(MINIMAL)
    config = load_config(str(path))
    assert (config.datasets[0].kind, config.datasets[0].path) == ("minari", "data")
    # The manifest writes the defaults out, those without meaning too.
    assert config_from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            "split: test",
            "5: datasets[0].split: Minari data sets have no splits. Remove it; `validation` holds "
            "episodes out.",
        ),
        (
            "last_step: keep",
            "5: datasets[0].last_step: Minari stores no action for the last observation, so it is "
            "always dropped. Remove it.",
        ),
        (
            "tfds: robot",
            "5: datasets[0].tfds: path and tfds are both given. Remove one of the two.\n"
            "a.yaml:5: datasets[0].tfds: it names a TFDS data set. Give the folder of the Minari "
            "one as `path`.",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(tmp_path: Path, line: str, message: str) -> None:
    assert refusal(tmp_path, f"{MINIMAL}    {line}\n") == f"a.yaml:{message}"


@pytest.mark.parametrize("line", ["split: train", "last_step: drop", "tfds: null"])
def test_defaults_may_be_written_out(tmp_path: Path, line: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{MINIMAL}    {line}\n")
    assert load_config(str(path)).datasets[0].kind == "minari"


def test_other_kinds_are_named(tmp_path: Path) -> None:
    text = MINIMAL.replace("minari", "d4rl")
    assert refusal(tmp_path, text) == (
        'a.yaml:3: datasets[0].kind: found the text "d4rl". Expected rlds (a TFDS directory of '
        "RLDS episodes), minari (a folder that Minari wrote), or a corpus: image_text, "
        "question_answer, text, interleaved."
    )
