"""What is refused before any work, with what would be right."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gato_data.errors import GatoDataError, UsageError
from gato_data.transformer.training import runs
from gato_data.transformer.training.checks import check_devices
from gato_data.transformer.training.loop import train
from gato_data.transformer.training.settings import Habits
from tests.building.builds import build_here, write_config
from tests.conftest import tiny_config
from tests.transformer.training.small_runs import HABITS, MODEL, TRAINING, checkpoint

Refuse = Callable[..., str]


@pytest.fixture
def refused(tiny_build_arrow: Path, tmp_path: Path) -> Refuse:
    def refuse(**given: Any) -> str:
        options = {
            "source": str(tiny_build_arrow),
            "output": str(tmp_path / "run"),
            "model": MODEL,
            "training": TRAINING,
            "habits": HABITS,
        }
        with pytest.raises(UsageError) as told:
            train(**{**options, **given})
        return str(told.value)

    return refuse


@pytest.fixture
def copy(unbroken: Path, tmp_path: Path) -> Path:
    """A run that may be changed."""
    return Path(shutil.copytree(unbroken, tmp_path / "copy"))


def test_data_without_room(refused: Refuse, tmp_path: Path) -> None:
    assert "--set vocabulary=33027" in refused(model=replace(MODEL, vocabulary=33_026))
    told = refused(model=replace(MODEL, position="learned", length=95))
    assert "--set length=96" in told
    assert not (tmp_path / "run" / "run.json").exists()


def test_devices() -> None:
    check_devices(batch=8, data_parallel=4, data_shards=8)
    with pytest.raises(UsageError, match="multiple of 4, such as 8"):
        check_devices(batch=9, data_parallel=4, data_shards=4)
    with pytest.raises(UsageError, match="begun with 8 parts"):
        check_devices(batch=12, data_parallel=3, data_shards=8)


def test_more_devices_than_there_are(refused: Refuse) -> None:
    assert "does not divide" in refused(habits=Habits(model_parallel=3))


def test_outputs(refused: Refuse, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "it is a file" in refused(output=str(tmp_path / "file"))
    assert "a folder of this machine" in refused(output="memory://run")


def test_another_config_than_that_of_the_run(refused: Refuse, copy: Path) -> None:
    told = refused(output=str(copy), training=replace(TRAINING, steps=8, rate=1.0))
    assert "training.steps is 7, not 8, training.rate is 0.01, not 1.0" in told
    told = refused(output=str(copy), model=replace(MODEL, layers=3))
    assert "model.layers is 1, not 3" in told


def test_other_data_than_those_of_the_run(
    refused: Refuse, copy: Path, two_passes: Path, other_text: Path
) -> None:
    assert "on other data" in refused(output=str(copy), source=str(two_passes))
    told = refused(output=str(copy), source=str(other_text))
    assert f"{other_text}: its text model is another" in told


def test_two_trainings_in_one_folder(refused: Refuse, copy: Path) -> None:
    with runs.lock(str(copy)):
        assert "another process is training there" in refused(output=str(copy))


def test_damaged_runs(refused: Refuse, copy: Path) -> None:
    last = checkpoint(copy, 7)
    last.write_bytes(last.read_bytes()[:-100])
    assert f"{last}: damaged" in refused(output=str(copy))
    (copy / "run.json").write_text("[")
    assert "run.json: damaged" in refused(output=str(copy))
    with pytest.raises(UsageError, match=r"no run\.json"):
        runs.read_run(str(copy / "data"))


def test_a_checkpoint_of_another_model(refused: Refuse, copy: Path) -> None:
    text = (copy / "run.json").read_text()
    (copy / "run.json").write_text(text.replace('"width": 16', '"width": 24'))
    told = refused(output=str(copy), model=replace(MODEL, width=24))
    assert "but the model has float32[33027, 24], so the checkpoint is of another model" in told
    # Of the same sizes, but with another meaning.
    (copy / "run.json").write_text(text.replace('"rotary"', '"alibi"'))
    with pytest.raises(UsageError, match="position 'rotary' instead of 'alibi'"):
        runs.load_model(str(copy))


def test_weights_to_begin_with(
    refused: Refuse, unbroken: Path, tmp_path: Path, other_text: Path
) -> None:
    assert "no run.json" in refused(init=str(tmp_path))
    told = refused(init=str(unbroken), model=replace(MODEL, heads=4, dropout=0.5))
    assert "of a model with heads 2 instead of 4. Train" in told
    told = refused(init=str(unbroken), source=str(other_text))
    assert "text model is another than that of" in told


def test_checkpoints_of_nobody_knows_what(refused: Refuse, copy: Path) -> None:
    (copy / "run.json").unlink()
    assert "no run.json that says of what training" in refused(output=str(copy))
    assert not (copy / "run.json").exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [("data_shards", "a"), ("data_shards", 0), ("target_budget", -5), ("patch_budget", 1.5)],
)
def test_numbers_of_the_feed_that_are_none(
    refused: Refuse, copy: Path, name: str, value: object
) -> None:
    given = json.loads((copy / "run.json").read_text())
    given["feed"][name] = value
    (copy / "run.json").write_text(json.dumps(given))
    assert f"feed: {name} is {value!r}" in refused(output=str(copy))


def test_sizes_beyond_any_machine() -> None:
    with pytest.raises(UsageError, match=r"these sizes make [\d,]{15,} parameters, more than"):
        replace(MODEL, width=10**8)


def test_a_newer_field_has_its_default_in_older_checkpoints() -> None:
    old = MODEL.to_json()
    del old["hide_actions"]
    runs.check_model("old", old, MODEL)
    with pytest.raises(UsageError, match="hide_actions False instead of True"):
        runs.check_model("old", old, replace(MODEL, hide_actions=True))


def test_weights_that_are_no_good_are_not_kept(tmp_path: Path, tiny_build_arrow: Path) -> None:
    training = replace(TRAINING, steps=1, warmup=0, rate=1e39, clip=None)
    with pytest.raises(GatoDataError, match=r"at step 1 the loss of the validation split became"):
        train(str(tiny_build_arrow), str(tmp_path / "run"), MODEL, training, habits=HABITS)
    assert not list((tmp_path / "run").glob("checkpoints/*.npz"))
    assert json.loads((tmp_path / "run/non_finite.json").read_text())["step"] == 1


def test_weights_that_are_no_numbers_are_not_kept_where_nothing_validates_them(
    tmp_path: Path, tiny_input: Path
) -> None:
    config = tiny_config("arrow")
    alone = [{**config["datasets"][1], "validation": 0.0}]
    path = write_config(tiny_input, {**config, "datasets": alone}, "unvalidated.yaml")
    build = build_here(path, tmp_path / "build")
    training = replace(TRAINING, steps=1, warmup=0, rate=1e39, clip=None)
    with pytest.raises(GatoDataError, match=r"at step 1 .* became infinite or no number, by an"):
        train(str(build), str(tmp_path / "run"), MODEL, training, habits=HABITS)
    assert not list((tmp_path / "run").glob("checkpoints/*.npz"))
    assert len(json.loads((tmp_path / "run/non_finite.json").read_text())["sequences"]) == 8


def test_a_run_that_was_copied_in_part(copy: Path) -> None:
    shutil.rmtree(copy / "data")
    with pytest.raises(UsageError, match="Copy the whole folder of the training again"):
        _ = runs.read_run(str(copy)).manifests
