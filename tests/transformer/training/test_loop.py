"""Whole trainings in this process."""

import json
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.errors import GatoDataError, UsageError
from gato_data.transformer.training import checkpoints, runs
from gato_data.transformer.training.loop import train
from gato_data.transformer.training.progress import Silent
from tests.building.builds import build_here, write_config
from tests.conftest import tiny_config
from tests.transformer.training.small_runs import (
    HABITS,
    MODEL,
    TRAINING,
    arrays_of,
    checkpoint,
)


def log_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def assert_same(run: Path, other: Path, step: int) -> None:
    """The checkpoints of two runs have the same bits."""
    found, expected = arrays_of(checkpoint(run, step)), arrays_of(checkpoint(other, step))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name].tobytes() == value.tobytes(), name


def test_what_a_run_has(unbroken: Path, tiny_build_arrow: Path) -> None:
    assert checkpoints.steps_of(str(unbroken)) in ([3, 6, 7], [6, 7])
    run = runs.read_run(str(unbroken))
    assert (run.model, run.training) == (MODEL, TRAINING)
    assert run.sources == (str(tiny_build_arrow),)
    assert sorted(run.datasets) == ["plain", "toy"]
    assert run.manifests[0]["datasets"]["toy"]["layout"]
    model = tiny_build_arrow / "vocabulary.model"
    assert run.text_model is not None
    assert Path(run.text_model).read_bytes() == model.read_bytes()

    log = log_of(unbroken)
    training = [entry for entry in log if "loss" in entry]
    # Every second step, and before each checkpoint.
    assert [entry["step"] for entry in training] == [2, 3, 4, 6, 7]
    assert [entry["step"] for entry in log if "validation" in entry] == [3, 6, 7]
    assert set(training[0]["datasets"]) == {"plain", "toy"}
    assert set(training[0]["roles"]) <= {"text", "action", "prompt"}
    # Before it has learned anything, all ids are about equally likely.
    assert training[0]["loss"] == pytest.approx(np.log(MODEL.vocabulary), rel=0.02)
    assert training[-1]["loss"] < training[0]["loss"] - 0.1
    # The second of seven steps without a warm-up: 0.1 + 0.9 * (1 + cos(pi / 7)) / 2 of the peak.
    assert training[0]["rate"] == pytest.approx(0.955436 * TRAINING.rate, rel=1e-5)
    assert training[-1]["tokens_per_second"] > 0
    assert training[-1]["utilisation"] is None
    assert training[-1]["seconds_left"] == 0
    losses = {entry["step"]: entry["validation"]["loss"] for entry in log if "validation" in entry}
    best = min(losses, key=lambda step: losses[step])
    told = json.loads((unbroken / "checkpoints" / "best.json").read_text())
    assert told == {"step": best, "loss": losses[best], "by": "validation"}


def test_the_model_of_a_run(unbroken: Path) -> None:
    model, metadata = runs.load_model(str(unbroken), "last")
    assert metadata.step == 7
    expected = arrays_of(checkpoint(unbroken, 7))
    assert len(model.weights) > 20
    for weight in model.weights:
        np.testing.assert_array_equal(weight, expected[f"model/{weight.path}"])


class Stopping(Silent):
    """Presses Ctrl-C when it is told of a step."""

    def __init__(self, step: int) -> None:
        self._step = step

    def show(self, step: int, entry: Mapping[str, Any]) -> None:
        if step == self._step:
            signal.raise_signal(signal.SIGINT)


def test_ctrl_c_leaves_a_checkpoint_to_go_on_from(
    unbroken: Path, tiny_build_arrow: Path, tmp_path: Path
) -> None:
    run, source = tmp_path / "run", str(tiny_build_arrow)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(source, str(run), MODEL, TRAINING, habits=HABITS, watch=Stopping(4))
    assert signal.getsignal(signal.SIGINT) is before
    # It is told of step 4 when step 5 is under way.
    assert checkpoints.steps_of(str(run)) == [3, 5]
    stopped = checkpoints.read_metadata(str(checkpoint(run, 5))).standing
    assert (stopped.loss, stopped.best) == (None, 3)
    assert stopped.since[1] > 0
    # What may change does: the weights are the same.
    habits = replace(HABITS, log_every=5, keep=3)
    summary = train(source, str(run), MODEL, TRAINING, habits=habits)
    assert_same(run, unbroken, 7)
    assert (summary.step, summary.by) == (7, "validation")
    assert checkpoints.steps_of(str(run)) == [5, 6, 7]
    done = train(source, str(run), MODEL, TRAINING, habits=habits)
    assert done.loss is None
    assert done.step == 7


def test_a_loss_that_is_not_finite_stops_the_training(
    tiny_build_arrow: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    training = replace(TRAINING, rate=1e30, warmup=2, clip=None)
    habits = replace(HABITS, checkpoint_every=1)
    with pytest.raises(GatoDataError, match=r"at step \d+ .* on the sequences ") as told:
        train(str(tiny_build_arrow), str(run), MODEL, training, habits=habits)
    bad = json.loads((run / "non_finite.json").read_text())
    steps = checkpoints.steps_of(str(run))
    assert steps[-1] == bad["step"] - 1
    assert f"step {bad['step']} " in str(told.value)
    assert len(bad["sequences"]) == 8
    assert ", ".join(bad["sequences"][:4]) + " and 4 more" in str(told.value)
    assert all(name.split("/")[0] in ("toy", "plain") for name in bad["sequences"])
    for name, value in arrays_of(checkpoint(run, steps[-1])).items():
        assert np.isfinite(value).all(), name


def test_weights_of_another_run(unbroken: Path, tiny_build_arrow: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    # So little is learned that the weights are those of the other run still.
    training = replace(TRAINING, steps=1, warmup=0, rate=1e-20, decay="none")
    model = replace(MODEL, dropout=0.0)
    train(str(tiny_build_arrow), str(run), model, training, habits=HABITS, init=str(unbroken))
    best = checkpoints.best_of(str(unbroken))
    assert best is not None
    given, found = arrays_of(checkpoint(unbroken, best)), arrays_of(checkpoint(run, 1))
    for name, value in given.items():
        if name.startswith("model/") and "noise" not in name:
            np.testing.assert_array_equal(found[name], value)
    assert found["optimiser/iteration"] == 1
    assert runs.read_run(str(run)).init == str(unbroken)
    with pytest.raises(UsageError, match="another config: init is"):
        train(str(tiny_build_arrow), str(run), model, training, habits=HABITS)


def test_a_mixture_of_which_one_build_alone_has_a_validation_split(
    tiny_build_arrow: Path, tiny_input: Path, tmp_path: Path
) -> None:
    config = tiny_config("arrow")
    alone = [{**config["datasets"][0], "name": "alone", "validation": 0.0}]
    build_here(
        write_config(tiny_input, {**config, "datasets": alone}, "alone.yaml"), tmp_path / "b"
    )
    mixture = tmp_path / "mixture.yaml"
    mixture.write_text(f"{tiny_build_arrow}: 1\n{tmp_path / 'b'}: 1\n")
    run = tmp_path / "run"
    summary = train(str(mixture), str(run), MODEL, replace(TRAINING, steps=3), habits=HABITS)
    assert (summary.step, summary.by, summary.best) == (3, "validation", 3)
    *_, last = (json.loads(line) for line in (run / "log.jsonl").read_text().splitlines())
    assert set(last["validation"]["datasets"]) == {"toy", "plain"}
