"""Builds on a server that fails: the file is named, and the loader goes on from its state."""

import functools
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import pytest

import gato_data
from gato_data.errors import GatoDataError, UsageError
from gato_data.loading import loader as loaders
from gato_data.loading.cache import Cache
from gato_data.loading.directory import open_build
from gato_data.loading.fetching import RemoteShard
from tests.loading.remote_builds import BLOCK, build_texts
from tests.loading.streams import assert_equal, batches
from tests.s3 import Server


@pytest.fixture(scope="module")
def arrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_texts(tmp_path_factory.mktemp("texts"), "arrow")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """One that this process finds, and for which it does not wait long."""
    running = Server(tmp_path / "s3-log")
    for name, value in (running.environment | {"AWS_MAX_ATTEMPTS": "1"}).items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    monkeypatch.setattr(loaders, "Cache", functools.partial(Cache, waits=(0.2, 0.5)))
    yield running
    if not running.given:
        running.stop()


@pytest.fixture
def remote(server: Server, arrow: Path) -> str:
    return server.put(arrow, "arrow")


def test_a_server_that_is_down_is_waited_for(
    server: Server, remote: str, arrow: Path, tmp_path: Path
) -> None:
    expected = batches(remote, cache=tmp_path / "whole")
    options: dict[str, Any] = {"batch_size": 4, "epochs": 1, "workers": 0}
    options |= {"cache": tmp_path / "cache", "cache_bytes": BLOCK}
    loader = gato_data.load(remote, **options)
    found = list(islice(loader, 3))
    server.stop()
    try:
        with pytest.raises(GatoDataError, match=f"{remote}/.*: cannot be read") as caught:
            found.extend(loader)
        assert "goes on from its last state" in str(caught.value)
        assert 3 <= len(found) < len(expected)
        state = loader.get_state()
    finally:
        server.start_filled(arrow, "arrow")
    loader.set_state(state)
    found += list(loader)
    assert_equal(found, expected)


def test_a_server_that_comes_back_in_time_is_not_noticed(
    server: Server, remote: str, arrow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = batches(remote, cache=tmp_path / "whole")
    monkeypatch.setattr(loaders, "Cache", functools.partial(Cache, waits=(0.5,) * 60))
    loader = gato_data.load(
        remote, batch_size=4, epochs=1, cache=tmp_path / "cache", cache_bytes=BLOCK
    )
    found = list(islice(loader, 2))
    server.stop()
    back = threading.Thread(target=server.start_filled, args=(arrow, "arrow"))
    back.start()  # which takes it a second
    found += list(loader)
    back.join()
    assert_equal(found, expected)


def test_a_shard_that_was_replaced_is_named(
    server: Server, remote: str, arrow: Path, tmp_path: Path
) -> None:
    loader = gato_data.load(remote, batch_size=4, epochs=1, cache=tmp_path, workers=0)
    shard = open_build(str(arrow)).shards[4]
    data = bytearray((arrow / shard.file).read_bytes())
    data[len(data) // 2] ^= 1
    server.store.pipe_file(f"{remote}/{shard.file}", bytes(data))
    before = server.fetched()
    with pytest.raises(GatoDataError, match="fetched twice"):
        Cache(tmp_path / "alone", BLOCK).hold(RemoteShard.of(open_build(remote), shard))
    assert (server.fetched() - before)[Path(shard.file).name] == 2
    with pytest.raises(GatoDataError, match="fetched twice") as caught:
        list(loader)
    assert f"{remote}/{shard.file}" in str(caught.value)
    state = loader.get_state()
    server.store.put_file(str(arrow / shard.file), f"{remote}/{shard.file}")
    loader.set_state(state)
    list(loader)


def test_a_shard_that_vanishes_is_named(
    server: Server, remote: str, arrow: Path, tmp_path: Path
) -> None:
    loader = gato_data.load(
        remote, batch_size=4, epochs=1, cache=tmp_path, cache_bytes=BLOCK, workers=0
    )
    found = [next(loader)]
    for shard in open_build(str(arrow)).shards:
        server.store.rm_file(f"{remote}/{shard.file}")
    with pytest.raises(GatoDataError, match=f"{remote}/.*: the file is gone"):
        found += list(loader)


def test_a_shard_that_was_never_there_is_refused_first(
    server: Server, remote: str, arrow: Path, tmp_path: Path
) -> None:
    shard = open_build(str(arrow)).shards[7]
    server.store.rm_file(f"{remote}/{shard.file}")
    with pytest.raises(UsageError, match=f"{remote}/{shard.file}: the shard is missing"):
        gato_data.load(remote, batch_size=4, cache=tmp_path)


def test_a_build_that_is_not_there_is_named(server: Server, tmp_path: Path) -> None:
    url = f"s3://{server.bucket}/nothing"
    with pytest.raises(UsageError, match=url):
        gato_data.load(url, batch_size=4, cache=tmp_path)


def test_a_server_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(OSError, match=r"s3://bucket/out/manifest\.json"):
        gato_data.load("s3://bucket/out", batch_size=4, cache=tmp_path)
