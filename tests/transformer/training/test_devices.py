"""Eight simulated devices do what one does."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.transformer.training import checkpoints, runs
from gato_data.transformer.training.loop import train
from tests.transformer.training.small_runs import (
    HABITS,
    MODEL,
    TRAINING,
    arrays_of,
    checkpoint,
)

PROGRAM = Path(__file__).with_name("devices_programs.py")
# Half the time goes into compiling, and what is compiled runs a few times.
FLAGS = (
    "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0 "
    "--xla_llvm_disable_expensive_passes=true"
)


def run_program(*arguments: str) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "tests.transformer.training.devices_programs", *arguments],
        env=os.environ | {"XLA_FLAGS": FLAGS, "JAX_PLATFORMS": "cpu"},
        cwd=PROGRAM.parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr


@pytest.fixture(scope="module")
def updates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path = tmp_path_factory.mktemp("devices") / "updates.npz"
    run_program("updates", str(path))
    with np.load(path) as found:
        return dict(found)


def of(updates: dict[str, Any], kind: str, mesh: str) -> dict[str, Any]:
    prefix = f"{kind}/{mesh}/"
    return {
        name.removeprefix(prefix): value
        for name, value in updates.items()
        if name.startswith(prefix)
    }


@pytest.mark.parametrize(
    ("kind", "mesh"),
    [("images", "data"), ("images", "both"), ("images", "fsdp"), ("text", "both")],
)
def test_losses_and_gradients_are_those_of_one_device(
    updates: dict[str, Any], kind: str, mesh: str
) -> None:
    expected, found = of(updates, kind, "one"), of(updates, kind, mesh)
    assert found.keys() == expected.keys()
    for step in (1, 2):
        assert found[f"{step}/targets"] == expected[f"{step}/targets"] > 20
        for name in ("loss", "role_loss", "dataset_loss", "gradient_norm"):
            np.testing.assert_allclose(
                found[f"{step}/{name}"], expected[f"{step}/{name}"], rtol=2e-4, err_msg=name
            )
    moments = [name for name in expected if "momentum" in name]
    assert len(moments) > 25
    for name in moments:
        # The mean of two gradients. Sums in another order differ by the last bits.
        allowed = 1e-3 * max(np.abs(expected[name]).max(), 1e-6)
        np.testing.assert_allclose(found[name], expected[name], atol=allowed, err_msg=name)
    noise = "2/model/transformer/noise/seed_generator_state"
    np.testing.assert_array_equal(found[noise], expected[noise])
    # The second step is of other weights than the first.
    assert abs(expected["1/loss"] - expected["2/loss"]) > 1e-2


@pytest.mark.slow
def test_a_training_goes_on_with_fewer_devices(tiny_build_arrow: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    run_program("train_on_all", str(tiny_build_arrow), str(run))
    assert runs.read_run(str(run)).feed.data_shards == 4
    on_eight = arrays_of(checkpoint(run, 7))
    checkpoint(run, 7).unlink()
    assert checkpoints.steps_of(str(run)) == [3, 6]
    train(str(tiny_build_arrow), str(run), MODEL, TRAINING, habits=HABITS)
    on_one = arrays_of(checkpoint(run, 7))
    before = arrays_of(checkpoint(run, 6))
    assert on_one.keys() == on_eight.keys()
    moved = 0.0
    for name, value in on_eight.items():
        if name.startswith("model/") and "noise" not in name:
            change = np.abs(value - before[name]).max()
            moved = max(moved, float(change))
            np.testing.assert_allclose(on_one[name], value, atol=1e-3, err_msg=name)
    assert moved > 1e-3
