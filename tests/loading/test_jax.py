"""JAX: global arrays equal the batch of one host, and the state is that of what was handed out."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gato_data
from gato_data.errors import GatoDataError, UsageError
from tests.loading.corpora_builds import run_example

jax = pytest.importorskip("jax", reason="JAX is an extra")
from jax.sharding import Mesh, NamedSharding, PartitionSpec, SingleDeviceSharding  # noqa: E402

ROOT = Path(__file__).parents[2]


def load(build: Path, **options: Any) -> Any:
    defaults = {"batch_size": 16, "seed": 3, "images": "packed", "data_shards": 8}
    return gato_data.load(str(build), **{**defaults, **options})


def here() -> Any:
    return SingleDeviceSharding(jax.devices()[0])


def assert_same(found: Iterable[Any], expected: Iterable[Any]) -> None:
    for left, right in zip(found, expected, strict=True):
        assert left.keys() == right.keys()
        for name, values in right.items():
            np.testing.assert_array_equal(np.asarray(left[name]), values, name, strict=True)


def start(devices: int, *arguments: object) -> "subprocess.Popen[str]":
    """Starts a program of jax_programs.py, on simulated devices."""
    settings = {
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(ROOT),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "tests.loading.jax_programs", *map(str, arguments)],
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def output_of(process: "subprocess.Popen[str]") -> str:
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return output


def assert_parts(path: Path, whole: list[dict[str, Any]], first: int, devices: int) -> None:
    """Holds that each device has its rows of each array of each batch."""
    with np.load(path) as parts:
        assert len(parts) == sum(len(batch) for batch in whole) * devices
        for number, batch in enumerate(whole):
            for name, values in batch.items():
                size = len(values) // 8
                for device in range(first, first + devices):
                    own = slice(device * size, (device + 1) * size)
                    found = parts[f"{number}/{name}/{own.start}"]
                    np.testing.assert_array_equal(found, values[own], name, strict=True)


def test_eight_devices_hold_their_rows_and_patches(corpora_build: Path, tmp_path: Path) -> None:
    printed, *refused = output_of(
        start(8, "one_host", corpora_build, tmp_path / "parts.npz")
    ).splitlines()
    expected = list(islice(load(corpora_build), 7))
    assert_parts(tmp_path / "parts.npz", expected, 0, 8)
    assert json.loads(printed) == expected[0]["patch_row"].sum(1, dtype=int).tolist()
    assert [line.partition(" does not fit ")[2].partition(":")[0] for line in refused] == [
        "tokens, of shape [12, 48]",
        "patches, of shape [4, 128, 768]",
        "tokens, of shape [16, 48]",
    ]


def test_two_processes_load_their_slices(corpora_build: Path, tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
    paths = [tmp_path / f"{number}.npz" for number in range(2)]
    processes = [
        start(4, "one_of_two", corpora_build, path, address, number)
        for number, path in enumerate(paths)
    ]
    printed = [output_of(process) for process in processes]
    expected = list(islice(load(corpora_build), 5))
    for number, path in enumerate(paths):
        assert_parts(path, expected, 4 * number, 4)
    assert "Process 0 of 2 loads tokens[0:8], but its devices need [8:16]" in printed[0]
    assert "Process 1 of 2 loads tokens[8:16], but its devices need [0:8]" in printed[1]


@pytest.mark.parametrize("images", ["packed", "dense", "none"])
def test_the_state_is_that_of_the_batch_in_hand(corpora_build: Path, images: str) -> None:
    plain = load(corpora_build, images=images, epochs=1)
    loader = load(corpora_build, images=images, epochs=1)
    before = loader.get_state()
    states, batches = [], []
    for batch in loader.as_jax(here()):
        states.append(loader.get_state())
        batches.append(batch)
    # Also those that were handed out first are as they were.
    assert_same(batches, plain)
    assert before["batches"] == 0
    assert [state["batches"] for state in states] == list(range(1, len(batches) + 1))
    for state, following in zip(states, batches[1:], strict=False):
        other = load(corpora_build, images=images, epochs=1)
        other.set_state(state)
        assert_same(islice(other.as_jax(here()), 1), [following])


def test_the_next_batch_is_on_its_way(corpora_build: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = []
    send = jax.make_array_from_process_local_data

    def counted(sharding: Any, values: Any, shape: Any) -> Any:
        sent.append(shape)
        return send(sharding, values, shape)

    monkeypatch.setattr(jax, "make_array_from_process_local_data", counted)
    loader = load(corpora_build, images="none")
    fields = len(loader.element_spec)
    batches = loader.as_jax(here())
    for number in range(1, 4):
        next(batches)
        assert len(sent) == (number + 1) * fields


def test_an_iterator_ends_when_the_loader_is_moved(corpora_build: Path) -> None:
    loader = load(corpora_build)
    expected = list(islice(load(corpora_build), 4))
    batches = loader.as_jax(here())
    assert_same(islice(batches, 2), expected[:2])
    loader.set_state(loader.get_state())
    with pytest.raises(UsageError, match="The loader was moved by something else"):
        next(batches)
    assert_same(islice(loader.as_jax(here()), 1), expected[2:3])
    assert_same([next(loader)], expected[3:])


def test_what_is_wrong_with_the_next_batch_is_told_after_this_one(
    corpora_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = load(corpora_build, workers=0)
    expected = list(islice(load(corpora_build), 2))
    gather, plans = type(loader.stream).gather, []

    def failing(stream: Any, plan: Any) -> Any:
        plans.append(plan)
        if len(plans) == 2:
            raise GatoDataError("the shard is gone")
        return gather(stream, plan)

    monkeypatch.setattr(type(loader.stream), "gather", failing)
    batches = loader.as_jax(here())
    assert_same([next(batches)], expected[:1])
    assert loader.get_state()["batches"] == 1
    for _ in range(2):
        with pytest.raises(GatoDataError, match="the shard is gone"):
            next(batches)
    assert loader.get_state()["batches"] == 1


def test_after_close_there_are_no_more(corpora_build: Path) -> None:
    loader = load(corpora_build)
    batches = loader.as_jax(here())
    next(batches)
    batches.close()
    assert list(batches) == []
    assert loader.get_state()["batches"] == 1


def test_shardings_that_do_not_fit_are_refused_before_the_first_batch(corpora_build: Path) -> None:
    with pytest.raises(UsageError, match=r"JAX has no arrays of texts.*provenance=False"):
        load(corpora_build, provenance=True).as_jax(here())
    mesh = Mesh(np.array(jax.devices()[:1]), ("data",))
    ranks = NamedSharding(mesh, PartitionSpec("data", None))
    with pytest.raises(
        UsageError, match=r"does not fit prompt_length, of shape \[16\]: it must cut"
    ):
        load(corpora_build).as_jax(ranks)
    second = load(corpora_build, process_index=1, process_count=2)
    with pytest.raises(UsageError, match=r"loads tokens\[8:16\], but its devices need \[0:16\]"):
        second.as_jax(here())


def test_without_jax_the_message_says_how_to_get_it(
    corpora_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loader = load(corpora_build)
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.delitem(sys.modules, "gato_data.loading.jax", raising=False)
    with pytest.raises(GatoDataError, match="JAX is not installed: pip install jax"):
        loader.as_jax(None)


def test_the_example_of_the_page_runs(
    corpora_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run_example("JAX", corpora_build, tmp_path, monkeypatch)
    assert ran["saved"]["batches"] == 10
    batch, embedded = ran["batch"], np.asarray(ran["embedded"])
    assert embedded.shape == (8, 48, 4)
    expected = np.ones((8, 48))
    for row, token in np.argwhere(np.asarray(batch["patch_index"]) >= 0):
        place = batch["patch_index"][row, token]
        expected[row, token] += (np.asarray(batch["patches"])[0, place] / 127.5 - 1).sum() / 4
    assert expected.max() > 1
    np.testing.assert_allclose(embedded[..., 0], expected, rtol=1e-3, atol=1e-3)
