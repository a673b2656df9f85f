"""TensorFlow gives what JAX gives, and trains on one device and on two."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.transformer.model import Gato
from tests.transformer import oracle, small

pytest.importorskip("tensorflow", reason="TensorFlow is an extra")

ROOT = Path(__file__).parents[2]
ONE_LAYER = replace(small.BASE, layers=1)


def run(output: Path, name: str, *given: str) -> dict[str, Any]:
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.transformer.tensorflow_programs", name, *given, str(output)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(output) as found:
        return dict(found)


@pytest.fixture(scope="module")
def logits(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("logits") / "found.npz", "logits")


@pytest.fixture(scope="module")
def gradients(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return run(tmp_path_factory.mktemp("gradients") / "found.npz", "gradients")


def part(found: dict[str, Any], prefix: str) -> dict[str, Any]:
    own = {name.removeprefix(prefix): x for name, x in found.items() if name.startswith(prefix)}
    assert own
    return own


@pytest.mark.parametrize("name", small.CONFIGS)
def test_the_same_seed_gives_the_same_weights_and_they_the_same_logits(
    name: str, logits: dict[str, Any]
) -> None:
    expected = oracle.weights_of(Gato(small.CONFIGS[name]))
    found = part(logits, f"{name}/weights/")
    assert found.keys() == expected.keys()
    for path, value in expected.items():
        np.testing.assert_array_equal(found[path], value, path)
    batch = small.make_batch()
    for kind, given in (("images", batch), ("none", small.without_images(batch))):
        scores = small.forward(name, given)[1]
        assert np.abs(scores).max() > 5
        np.testing.assert_allclose(logits[f"{name}/{kind}"], scores, rtol=1e-4, atol=1e-4)


def test_bfloat16(logits: dict[str, Any]) -> None:
    model = Gato(small.BASE)
    expected = np.asarray(model.logits(model(small.inputs_of(small.make_batch()))))
    assert logits["bfloat16"].dtype == np.float32
    assert 1e-6 < np.abs(logits["bfloat16"] - expected).mean() < 0.02 * expected.std()


def test_what_needs_jax_is_refused(logits: dict[str, Any]) -> None:
    training, attention = logits["refusals"]
    assert "Keras runs on tensorflow here, but training and acting need JAX" in training
    assert "attention is jax, which needs JAX, but Keras runs on tensorflow" in attention


@pytest.mark.parametrize("name", ["full", "half"])
def test_loss_and_gradients_are_those_of_jax_on_one_replica_and_on_two(
    name: str, gradients: dict[str, Any]
) -> None:
    parts, expected = small.gradients(
        small.make(ONE_LAYER), small.replica_batches()[name], training=False
    )
    for replicas in (1, 2):
        own = part(gradients, f"{name}/{replicas}/")
        assert own["targets"] == parts["targets"] > 5
        assert own["loss"] == pytest.approx(parts["loss"] / parts["targets"], rel=1e-5)
        small.assert_close(part(own, "gradients/"), expected, 1e-4)
    small.assert_close(part(gradients, "full/1/gradients/"), part(gradients, "remat/"), 1e-5)


@pytest.mark.parametrize("name", ["full", "half"])
def test_updates_are_the_same_on_one_replica_and_on_two(
    name: str, gradients: dict[str, Any]
) -> None:
    one, two = (part(gradients, f"{name}/{replicas}/") for replicas in (1, 2))
    assert one["losses"][2] < one["losses"][1] < one["losses"][0]
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-4)
    # Adam takes steps of one size, so that what has next to no gradient may differ by so much.
    for path, value in part(one, "after/").items():
        assert np.abs(part(two, "after/")[path] - value).mean() < 1e-4, path


def test_what_replicas_cannot_share_is_refused(gradients: dict[str, Any]) -> None:
    rows, dense, blocks = gradients["refusals"]
    assert rows == ("batch_size is 3, which 2 replicas cannot share. Load with a multiple of 2.")
    assert dense == 'The model needs packed images: load with images="packed".'
    assert blocks.startswith("data_shards is 3, which 2 replicas cannot share.")


def test_it_overfits_a_batch_of_the_loader_and_trains_on_two_devices(
    tiny_build_arrow: Path, tmp_path: Path
) -> None:
    found = run(tmp_path / "found.npz", "overfit", str(tiny_build_arrow))
    assert found["one/loss"][0] == pytest.approx(np.log(33027), rel=0.01)
    assert found["one/loss"][-1] < 0.05
    assert found["one/targets"].min() == found["one/targets"].max() > 50
    assert found["two/iterations"] == 3
    assert found["two/loss"][0] == pytest.approx(np.log(33027), rel=0.01)
    assert (np.diff(found["two/loss"]) < 0).all()


def test_another_backend_is_refused() -> None:
    from gato_data.transformer.tensorflow_training import train

    with pytest.raises(UsageError, match=r"Keras runs on jax here\. Set KERAS_BACKEND=tensorflow"):
        next(train(small.make(ONE_LAYER), None, []))  # type: ignore[arg-type]
