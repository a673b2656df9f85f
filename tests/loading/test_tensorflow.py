"""TensorFlow: a data set of static shapes that yields the stream, also to graphs and Keras."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gato_data
from gato_data.errors import GatoDataError, UsageError
from tests.loading.corpora_builds import run_example

tf = pytest.importorskip("tensorflow", reason="TensorFlow is an extra")

ROOT = Path(__file__).parents[2]


def load(build: Path, **options: Any) -> Any:
    return gato_data.load(str(build), **{"batch_size": 8, "seed": 3, "images": "packed", **options})


def assert_same(found: Iterable[Any], expected: Iterable[Any]) -> None:
    for left, right in zip(found, expected, strict=True):
        assert left.keys() == right.keys()
        for name, values in right.items():
            plain = left[name].numpy()
            if values.dtype == object:
                plain = np.vectorize(bytes.decode, otypes=[object])(plain)
            np.testing.assert_array_equal(plain, values, name, strict=True)


def test_shapes_and_types_are_static(corpora_build: Path) -> None:
    dataset = load(corpora_build, provenance=True, patch_budget=128).as_tf_dataset()
    tokens, packed = [8, 48], [1, 128]
    texts = ("sequence_id", "dataset", "task", "agent", "episode_id", "prompt_episode_id")
    expected = {
        "tokens": (tf.int32, tokens),
        "targets": (tf.int32, tokens),
        "modality": (tf.uint8, tokens),
        "loss_mask": (tf.uint8, tokens),
        "local_position": (tf.int16, tokens),
        "timestep": (tf.int32, tokens),
        "segment": (tf.int16, tokens),
        "prompt_length": (tf.int32, [8]),
        "valid": (tf.bool, [8]),
        "patches": (tf.uint8, [*packed, 768]),
        "patch_row": (tf.uint8, packed),
        "patch_column": (tf.uint8, packed),
        "patch_index": (tf.int32, tokens),
        **{name: (tf.string, [8]) for name in texts},
    }
    assert dataset.element_spec == {
        name: tf.TensorSpec(shape, dtype) for name, (dtype, shape) in expected.items()
    }


@pytest.mark.parametrize("images", ["packed", "dense", "none"])
def test_it_yields_the_stream_to_its_end(corpora_build: Path, images: str) -> None:
    options = {"epochs": 1, "images": images, "provenance": True}
    found = list(load(corpora_build, **options).as_tf_dataset())
    assert_same(found, load(corpora_build, **options))


def test_each_iteration_begins_where_the_loader_stands(corpora_build: Path) -> None:
    loader = load(corpora_build)
    expected = list(islice(load(corpora_build), 6))
    dataset = loader.as_tf_dataset()
    for _ in range(2):
        assert_same(dataset.take(2), expected[:2])
    with pytest.raises(UsageError, match="data set of TensorFlow reads ahead"):
        loader.get_state()
    saved = json.dumps(loader.state_after(2))
    other = load(corpora_build)
    other.set_state(json.loads(saved))
    assert_same(other.as_tf_dataset().take(3), expected[2:5])
    other.set_state(other.state_after(5))
    assert_same(other.as_tf_dataset().take(1), expected[5:])


def test_a_graph_reads_it(corpora_build: Path) -> None:
    dataset = load(corpora_build, epochs=1).as_tf_dataset()

    @tf.function
    def total(batches: Any) -> Any:
        found = tf.constant(0)
        for batch in batches:
            assert batch["tokens"].shape == [8, 48]
            found += tf.reduce_sum(batch["targets"] * tf.cast(batch["loss_mask"], tf.int32))
        return found

    expected = sum(
        int((batch["targets"] * batch["loss_mask"]).sum())
        for batch in load(corpora_build, epochs=1)
    )
    assert total(dataset).numpy() == expected


def test_keras_fits_on_it(corpora_build: Path) -> None:
    import keras

    if keras.backend.backend() != "tensorflow":
        # In a process of its own, as Keras cannot change its backend.
        own = {**os.environ, "GATO_DATA_TESTS_BACKEND": "tensorflow"}
        words = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
        subprocess.run([*words, f"{__file__}::test_keras_fits_on_it"], env=own, check=True)
        return

    seen: list[bytes] = []

    class Recorder(keras.layers.Layer):  # type: ignore[misc]
        """Notes the tokens that come by, and predicts the same for all."""

        def build(self, _: Any) -> None:
            self.logits = self.add_weight(shape=(33_027,), initializer="zeros")

        def call(self, tokens: Any) -> Any:
            note = tf.numpy_function(lambda x: seen.append(x.tobytes()), [tokens], [])
            with tf.control_dependencies([note] if note is not None else []):
                one_hot = tf.zeros_like(tokens, tf.float32)[..., None]
            return one_hot + self.logits

    tokens = keras.Input((48,), dtype="int32")
    model = keras.Model(tokens, Recorder()(tokens))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(1.0), loss=loss)
    loader = load(corpora_build)
    data = loader.as_tf_dataset().map(lambda x: (x["tokens"], x["targets"], x["loss_mask"]))
    # One pass over the data set for all epochs, as it states no end.
    model.fit(data, steps_per_epoch=3, epochs=2, verbose=0)
    assert model.optimizer.iterations.numpy() == 6
    expected = list(islice(load(corpora_build), 7))
    assert seen == [batch["tokens"].tobytes() for batch in expected[:6]]
    loader.set_state(loader.state_after(int(model.optimizer.iterations)))
    assert_same(loader.as_tf_dataset().take(1), expected[6:])


def test_threads_end_with_the_iteration(corpora_build: Path) -> None:
    loader = load(corpora_build, workers=2)
    dataset = loader.as_tf_dataset()
    iterator = iter(dataset)
    next(iterator)
    assert ahead()
    del iterator
    waited = time.monotonic() + 60
    while ahead() and time.monotonic() < waited:
        time.sleep(0.05)
    assert not ahead()


def ahead() -> list[str]:
    """The threads that make batches."""
    return [thread.name for thread in threading.enumerate() if "grain" in thread.name]


def test_what_cannot_be_read_is_told(corpora_build: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(corpora_build, tmp_path / "build"))
    dataset = load(copy).as_tf_dataset()
    for shard in (copy / "data").rglob("*.arrow"):
        shard.unlink()
    with pytest.raises(tf.errors.OpError, match="the shard is gone"):
        list(dataset.take(4))


def test_a_program_ends_in_the_midst_of_it(corpora_build: Path) -> None:
    program = (
        "import sys, gato_data\n"
        "loader = gato_data.load(sys.argv[1], batch_size=4, workers=2)\n"
        "batches = iter(loader.as_tf_dataset())\n"
        "print(next(batches)['tokens'].shape)\n"
    )
    command = [sys.executable, "-c", program, str(corpora_build)]
    ended = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=240, cwd=ROOT
    )
    assert ended.stdout == "(4, 48)\n"
    assert "Traceback" not in ended.stderr


def test_replicas_share_a_batch_and_processes_keep_theirs(corpora_build: Path) -> None:
    program = (
        "import sys, json, tensorflow as tf, gato_data\n"
        "cpu = tf.config.list_physical_devices('CPU')[0]\n"
        "tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()]"
        " * 2)\n"
        "replicas = tf.distribute.MirroredStrategy(['CPU:0', 'CPU:1'])\n"
        "loader = gato_data.load(sys.argv[1], batch_size=8, seed=3, images='packed',"
        " data_shards=2)\n"
        "dataset = loader.as_tf_dataset()\n"
        "policy = dataset.options().experimental_distribute.auto_shard_policy\n"
        "batch = next(iter(replicas.experimental_distribute_dataset(dataset)))\n"
        "parts = {k: [x.numpy().tolist() for x in replicas.experimental_local_results(v)]"
        " for k, v in batch.items() if k != 'patches'}\n"
        "print(json.dumps([policy.name, parts]))\n"
    )
    command = [sys.executable, "-c", program, str(corpora_build)]
    ended = subprocess.run(
        command, check=True, capture_output=True, text=True, timeout=240, cwd=ROOT
    )
    policy, parts = json.loads(ended.stdout.splitlines()[-1])
    assert policy == "OFF"
    whole = next(load(corpora_build, data_shards=2))
    assert parts.keys() == whole.keys() - {"patches"}
    for name, halves in parts.items():
        np.testing.assert_array_equal(np.array(halves[0] + halves[1]), whole[name], name)
        assert len(halves[0]) == len(halves[1])


def test_without_tensorflow_the_message_says_how_to_get_it(
    corpora_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = load(corpora_build)
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    monkeypatch.delitem(sys.modules, "gato_data.loading.tensorflow", raising=False)
    with pytest.raises(GatoDataError, match="TensorFlow is not installed: pip install tensorflow"):
        loader.as_tf_dataset()


def test_the_example_of_the_page_runs(
    corpora_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run_example("TensorFlow", corpora_build, tmp_path, monkeypatch)
    assert json.loads(ran["saved"])["batches"] == 10
    assert ran["model"].optimizer.iterations.numpy() == 15
