"""PyTorch: the batches of the stream, in its order, whoever makes them."""

import multiprocessing
import socket
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gato_data
from gato_data.errors import GatoDataError, UsageError
from tests.loading.corpora_builds import run_example

torch = pytest.importorskip("torch", reason="PyTorch is an extra")
from torch.utils.data import DataLoader, IterableDataset  # noqa: E402


def load(build: Path, **options: Any) -> Any:
    defaults = {"batch_size": 8, "seed": 3, "images": "packed", "provenance": True}
    return gato_data.load(str(build), **{**defaults, **options})


def assert_same(found: Iterable[Any], expected: Iterable[Any]) -> None:
    """Compares batches of tensors and lists of texts with batches of arrays."""
    for left, right in zip(found, expected, strict=True):
        assert left.keys() == right.keys()
        for name, values in right.items():
            if values.dtype == object:
                assert left[name] == values.tolist(), name
            else:
                np.testing.assert_array_equal(left[name].numpy(), values, name, strict=True)


@pytest.mark.parametrize("workers", [0, 1, 4])
@pytest.mark.parametrize("images", ["packed", "dense"])
def test_workers_take_the_batches_in_the_order_of_the_stream(
    corpora_build: Path, workers: int, images: str
) -> None:
    expected = list(load(corpora_build, epochs=1, images=images))
    assert len(expected) % 4  # the workers have unequal shares
    dataset = load(corpora_build, epochs=1, images=images).as_torch()
    assert isinstance(dataset, IterableDataset)
    assert_same(DataLoader(dataset, batch_size=None, num_workers=workers), expected)


def test_sequences_that_wait_stay_in_order_under_workers(corpora_build: Path) -> None:
    # 8 rows of up to 12 patches each rarely fit into 48, so sequences wait.
    loader = load(corpora_build, datasets=["captions"], patch_budget=48)
    expected = list(islice(loader, 9))
    assert loader.get_state()["waiting"]
    data = DataLoader(loader_as_torch(corpora_build), batch_size=None, num_workers=2)
    assert_same(islice(data, 9), expected)


def loader_as_torch(build: Path) -> Any:
    return load(build, datasets=["captions"], patch_budget=48).as_torch()


def test_workers_that_are_spawned_get_the_same(corpora_build: Path) -> None:
    loader = load(corpora_build, epochs=1)
    expected = list(load(corpora_build, epochs=1))[1:]
    next(loader)  # it has threads of its own, which stay here
    data = DataLoader(
        loader.as_torch(), batch_size=None, num_workers=2, multiprocessing_context="spawn"
    )
    assert_same(data, expected)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("images", ["packed", "dense"])
def test_a_training_resumes_after_the_batches_it_used(
    corpora_build: Path, workers: int, images: str
) -> None:
    expected = list(islice(load(corpora_build, images=images), 9))
    first = load(corpora_build, images=images)
    used = islice(DataLoader(first.as_torch(), batch_size=None, num_workers=workers), 4)
    assert_same(used, expected[:4])
    saved = first.state_after(4)

    second = load(corpora_build, images=images)
    second.set_state(saved)
    data = DataLoader(second.as_torch(), batch_size=None, num_workers=workers)
    assert_same(islice(data, 3), expected[4:7])
    # Counted since the stream began.
    second.set_state(second.state_after(7))
    assert_same(islice(data, 2), expected[7:])


def test_each_iteration_begins_where_the_loader_stands(corpora_build: Path) -> None:
    loader = load(corpora_build)
    expected = list(islice(load(corpora_build), 5))
    dataset = loader.as_torch()
    for _ in range(2):
        assert_same(islice(dataset, 2), expected[:2])
    loader.skip(3)
    assert_same(islice(dataset, 2), expected[3:])


def test_the_loader_says_that_it_does_not_know_what_was_used(corpora_build: Path) -> None:
    loader = load(corpora_build)
    loader.get_state()
    loader.as_torch()
    with pytest.raises(UsageError, match=r"data set of PyTorch reads ahead.*state_after\(n\)"):
        loader.get_state()


def test_the_state_after_some_batches_is_that_of_the_loader(corpora_build: Path) -> None:
    for options in ({"images": "dense"}, {"images": "packed"}, {"epochs": 2, "drop_last": True}):
        loader, other = load(corpora_build, **options), load(corpora_build, **options)
        states = [loader.get_state()] + [loader.get_state() for _ in islice(loader, 6)]
        for count in (3, 6, 2, 0, 5):
            assert other.state_after(count) == states[count]
        assert other.get_state() == states[0]
    ended = load(corpora_build, epochs=1)
    count = len(list(load(corpora_build, epochs=1)))
    assert ended.state_after(count)["batches"] == count
    with pytest.raises(UsageError, match=f"after {count + 1} batches: the stream has only {count}"):
        ended.state_after(count + 1)
    with pytest.raises(UsageError, match="after -1 batches: give 0 or more"):
        ended.state_after(-1)


def test_tensors_are_not_written_again(corpora_build: Path) -> None:
    kept = list(islice(load(corpora_build, images="dense").as_torch(), 20))
    assert_same(kept, islice(load(corpora_build, images="dense"), 20))


def test_batches_can_be_pinned(corpora_build: Path) -> None:
    data = DataLoader(
        load(corpora_build).as_torch(), batch_size=None, num_workers=1, pin_memory=True
    )
    (batch,) = islice(data, 1)
    assert_same([batch], islice(load(corpora_build), 1))
    tensors = [values for values in batch.values() if isinstance(values, torch.Tensor)]
    assert all(values.is_pinned() == torch.cuda.is_available() for values in tensors)


def test_what_a_worker_cannot_read_is_told(corpora_build: Path, tmp_path: Path) -> None:
    import shutil

    copy = Path(shutil.copytree(corpora_build, tmp_path / "build"))
    dataset = load(copy).as_torch()
    for shard in (copy / "data").rglob("*.arrow"):
        shard.unlink()
    with pytest.raises(GatoDataError, match="the shard is gone"):
        list(islice(DataLoader(dataset, batch_size=None, num_workers=1), 4))


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_fetch_shards_of_a_remote_build(
    corpora_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: str
) -> None:
    pytest.importorskip("moto", reason="the server of S3 is a package of tests")
    import fsspec

    from tests.s3 import Server

    server = Server(tmp_path / "log")
    try:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        fsspec.get_filesystem_class("s3").clear_instance_cache()
        url = server.put(corpora_build, f"torch-{start}")
        options = {"epochs": 1, "cache": tmp_path / "cache"}
        loader = load(url, **options)
        expected = list(loader)  # it holds copies, which are not those of the workers
        loader.set_state(loader.state_after(0))
        data = DataLoader(
            loader.as_torch(), batch_size=None, num_workers=2, multiprocessing_context=start
        )
        assert_same(data, expected)
    finally:
        if not server.given:
            server.stop()


def _rank(rank: int, address: str, build: Path, sent: Any) -> None:
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    data = DataLoader(load(build, epochs=1).as_torch(), batch_size=None, num_workers=1)
    sent.put((rank, list(_plain(data))))
    torch.distributed.destroy_process_group()


def _plain(data: Iterable[Any]) -> Iterator[dict[str, Any]]:
    for batch in data:
        yield {k: v if isinstance(v, list) else v.numpy().copy() for k, v in batch.items()}


@pytest.mark.skipif(
    not torch.distributed.is_available(), reason="this PyTorch has no torch.distributed"
)
def test_each_rank_loads_its_slice(corpora_build: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        port = held.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    sent = context.Queue()
    address = f"tcp://127.0.0.1:{port}"
    ranks = [
        context.Process(target=_rank, args=(rank, address, corpora_build, sent))
        for rank in range(2)
    ]
    for rank in ranks:
        rank.start()
    found = dict(sent.get(timeout=120) for _ in ranks)
    for rank in ranks:
        rank.join(60)
        assert rank.exitcode == 0
    whole = list(load(corpora_build, epochs=1, data_shards=2))
    for number, batches in found.items():
        for left, right in zip(batches, whole, strict=True):
            for name, values in right.items():
                half = len(values) // 2
                own = values[number * half : (number + 1) * half]
                np.testing.assert_array_equal(left[name], own, name)


def test_without_pytorch_the_message_says_how_to_get_it(
    corpora_build: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "gato_data.loading.torch", raising=False)
    with pytest.raises(GatoDataError, match="PyTorch is not installed: pip install torch"):
        load(corpora_build).as_torch()


def test_the_example_of_the_page_runs(
    corpora_build: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run_example("PyTorch", corpora_build, tmp_path, monkeypatch)
    assert ran["embedded"].shape == (8, 48, 8)
    assert ran["loader"].state_after(20)["batches"] == 20
    expected = list(islice(gato_data.load(str(corpora_build), batch_size=8), 20))
    assert_same([ran["batch"]], expected[19:])
