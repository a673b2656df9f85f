"""Builds on an S3-compatible server: the same batches, and each shard is fetched once."""

import contextlib
import fcntl
import functools
import os
import shutil
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import pytest

import gato_data
from gato_data.errors import UsageError
from gato_data.loading import loader as loaders
from gato_data.loading.cache import Cache
from gato_data.loading.directory import open_build
from tests.loading.remote_builds import BLOCK, SHARDS, build_texts
from tests.loading.streams import assert_equal, batches, ids, together
from tests.s3 import Server


@pytest.fixture(scope="module")
def arrow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_texts(tmp_path_factory.mktemp("texts"), "arrow")


@pytest.fixture(scope="module")
def tfrecord(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_texts(tmp_path_factory.mktemp("texts"), "tfrecord")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("s3") / "log")
    yield running
    if not running.given:
        running.stop()


@pytest.fixture(autouse=True)
def client(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """This process finds the server, and does not wait long for one that is down."""
    for name, value in (server.environment | {"AWS_MAX_ATTEMPTS": "1"}).items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    monkeypatch.setattr(loaders, "Cache", functools.partial(Cache, waits=(0.2, 0.5)))


@pytest.fixture(scope="module")
def remote(server: Server, arrow: Path) -> str:
    """The address of the Arrow build, which is only read."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        return server.put(arrow, "arrow")


def shards_of(build: Path, *datasets: str) -> set[str]:
    found = open_build(str(build)).shards
    return {Path(x.file).name for x in found if x.dataset in (datasets or SHARDS)}


def fetched(server: Server, before: Counter[str]) -> Counter[str]:
    """How often each shard was read since."""
    found = server.fetched() - before
    return Counter({name: count for name, count in found.items() if "-of-" in name})


def size_of(folder: Path) -> int:
    """Bytes of all files, of which some may get their names meanwhile."""
    sizes = {}
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):
            sizes[path.name.removesuffix(".part")] = path.stat().st_size
    return sum(sizes.values())


@pytest.mark.parametrize("form", ["arrow", "tfrecord"])
@pytest.mark.parametrize("workers", [0, 3])
def test_every_sequence_is_read_as_it_was_built(
    server: Server, request: pytest.FixtureRequest, tmp_path: Path, form: str, workers: int
) -> None:
    build: Path = request.getfixturevalue(form)
    url = server.put(build, uuid.uuid4().hex)
    options: dict[str, Any] = {"provenance": True, "workers": workers, "cache": tmp_path / "cache"}
    found = batches(url, **options)
    local = dict(zip(ids(batches(build, provenance=True)), _rows(build), strict=True))
    names = ids(found)
    assert len(names) == len(set(names)) == len(local)
    for name, row in zip(names, (row for batch in found for row in _tokens(batch)), strict=True):
        assert row == local[name]


def _rows(build: Path) -> list[bytes]:
    return [row for batch in batches(build, provenance=True) for row in _tokens(batch)]


def _tokens(batch: dict[str, Any]) -> list[bytes]:
    return [
        row.tobytes() for row, valid in zip(batch["tokens"], batch["valid"], strict=True) if valid
    ]


def test_the_order_depends_on_neither_room_nor_threads_nor_time(
    remote: str, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"provenance": True, "epochs": 2}
    first = batches(remote, cache=tmp_path / "a", **options)
    again = batches(remote, cache=tmp_path / "a", **options)
    tight = batches(remote, cache=tmp_path / "b", cache_bytes=BLOCK, workers=3, **options)
    assert_equal(again, first)
    assert_equal(tight, first)
    assert ids(first)[: len(ids(first)) // 2] != ids(first)[len(ids(first)) // 2 :]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("form", ["arrow", "tfrecord"])
def test_each_shard_is_fetched_once_an_epoch(
    server: Server, request: pytest.FixtureRequest, tmp_path: Path, form: str, workers: int
) -> None:
    build: Path = request.getfixturevalue(form)
    url = server.put(build, uuid.uuid4().hex)
    before = server.fetched()
    most = 2 * BLOCK  # of 160,000 bytes
    with gato_data.load(
        url,
        batch_size=4,
        epochs=1,
        cache=tmp_path / "cache",
        cache_bytes=most,
        workers=workers,
    ) as loader:
        for _ in loader:
            assert size_of(tmp_path / "cache") <= most
    found = fetched(server, before)
    names = shards_of(build)
    assert {name: count for name, count in found.items() if name in names} == dict.fromkeys(
        names, 1
    )
    assert len(names) == sum(SHARDS.values())
    if form == "tfrecord":  # and the offsets of each
        assert Counter(found.values()) == {1: 2 * len(names)}


def test_the_next_block_is_fetched_while_this_one_is_read(remote: str, tmp_path: Path) -> None:
    options: dict[str, Any] = {"batch_size": 1, "epochs": 1, "workers": 0, "cache": tmp_path}
    with gato_data.load(remote, **options) as loader:
        next(loader)
        wait_for(lambda: len(list(tmp_path.glob("*.arrow"))) == 16)
        time.sleep(0.2)
        found = sorted(tmp_path.glob("*.arrow"))
        assert len(found) == 16  # and not those after it
        assert not can_be_removed(found)
        assert fetching_threads()
    wait_for(lambda: not fetching_threads())
    # Those that nobody uses give room to others.
    assert can_be_removed(found)


def can_be_removed(found: Sequence[Path]) -> bool:
    """Whether no file is locked by who uses it."""
    for path in found:
        with path.open("rb") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
    return True


def fetching_threads() -> list[threading.Thread]:
    return [x for x in threading.enumerate() if x.name.startswith("gato-data-fetch")]


def wait_for(condition: Callable[[], bool]) -> None:
    """Until it holds; a minute at most."""
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_second_epoch_fetches_nothing_where_there_is_room(
    server: Server, remote: str, arrow: Path, tmp_path: Path
) -> None:
    before = server.fetched()
    for seed in (1, 2):
        batches(remote, epochs=3, seed=seed, cache=tmp_path / "cache")
    assert fetched(server, before) == dict.fromkeys(shards_of(arrow), 1)


def test_a_mixture_fetches_each_shard_once_an_epoch_of_its_data_set(
    server: Server, remote: str, arrow: Path, tmp_path: Path
) -> None:
    sequences = {
        name: sum(x.sequences for x in open_build(str(arrow)).of(name, "train")) for name in SHARDS
    }
    before = server.fetched()
    # 3 of 4 are books: as many batches as take half of them, so that what is fetched ahead is not
    # yet of the next epoch, in which a shard may rightly be fetched again.
    count = int(0.5 * sequences["books"] / 3)
    found = batches(remote, count, provenance=True, cache=tmp_path / "cache", cache_bytes=3 * BLOCK)
    given = Counter(name.split("/")[0] for name in ids(found))
    assert 0.3 < given["books"] / sequences["books"] < 0.6
    assert 0.3 < given["notes"] / sequences["notes"] < 0.64
    found_counts = fetched(server, before)
    assert set(found_counts) <= shards_of(arrow)
    assert set(found_counts.values()) == {1}


def test_hosts_share_the_batches_and_each_fetches_what_its_rows_need(
    server: Server, remote: str, arrow: Path, tmp_path: Path
) -> None:
    options: dict[str, Any] = {"provenance": True, "batch_size": 8}
    whole = batches(remote, cache=tmp_path / "whole", **options)
    hosts = []
    for index in range(2):
        before = server.fetched()
        hosts.append(
            batches(
                remote, process_index=index, process_count=2, cache=tmp_path / str(index), **options
            )
        )
        # A block is shuffled, so that each host has rows of all of its shards.
        assert fetched(server, before) == dict.fromkeys(shards_of(arrow), 1)
    assert_equal(together(hosts), whole)


HOST = """
import sys
from collections import Counter
import gato_data
url, folder, index = sys.argv[1:]
options = {"process_index": int(index), "process_count": 2, "cache": folder}
count = sum(int(b["valid"].sum()) for b in gato_data.load(url, batch_size=8, epochs=1, **options))
print(count)
"""


def test_processes_with_one_folder_fetch_each_shard_once(
    server: Server, remote: str, arrow: Path, tmp_path: Path
) -> None:
    before = server.fetched()
    running = [
        subprocess.Popen(
            [sys.executable, "-c", HOST, remote, str(tmp_path), str(index)], stdout=subprocess.PIPE
        )
        for index in range(2)
    ]
    total = sum(int(process.communicate()[0]) for process in running)
    assert total == sum(x.sequences for x in open_build(str(arrow)).shards)
    assert fetched(server, before) == dict.fromkeys(shards_of(arrow), 1)


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "FSSPEC_S3_ENDPOINT_URL"])
def test_the_server_is_found_by_the_usual_variables(
    server: Server, remote: str, tmp_path: Path, variable: str
) -> None:
    script = "import sys, gato_data; print(len(list(gato_data.load(sys.argv[1], batch_size=999,"
    script += "epochs=1, cache=sys.argv[2]))))"
    environment = dict(os.environ)
    environment[variable] = environment.pop("AWS_ENDPOINT_URL")
    finished = subprocess.run(
        [sys.executable, "-c", script, remote, str(tmp_path)],
        env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert finished.stdout == "1\n", finished.stderr


def test_a_cache_without_room_for_a_block_is_refused(remote: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        gato_data.load(remote, batch_size=4, epochs=1, cache=tmp_path, cache_bytes=20_000)
    needed = sum(sorted((x.size for x in open_build(remote).shards), reverse=True)[:8])
    assert "cache_bytes is 20,000" in str(caught.value)
    assert f"up to {needed:,} bytes" in str(caught.value)
    gato_data.load(remote, batch_size=4, epochs=1, cache=tmp_path, cache_bytes=needed)
    with pytest.raises(UsageError, match=f"cache_bytes is {needed:,}"):  # two parts, two blocks
        gato_data.load(remote, batch_size=4, cache=tmp_path, cache_bytes=needed)


@pytest.mark.parametrize("form", ["arrow", "tfrecord"])
def test_copies_may_be_deleted_while_they_are_used(
    server: Server, request: pytest.FixtureRequest, tmp_path: Path, form: str
) -> None:
    url = server.put(request.getfixturevalue(form), uuid.uuid4().hex)
    expected = batches(url, provenance=True, cache=tmp_path / "whole")
    folder = tmp_path / "cache"
    with gato_data.load(
        url, batch_size=4, epochs=1, cache=folder, workers=0, provenance=True
    ) as loader:
        found = []
        for batch in loader:
            found.append(batch)
            shutil.rmtree(folder, ignore_errors=True)
    assert_equal(found, expected)


def test_a_state_goes_on_with_another_cache(remote: str, tmp_path: Path) -> None:
    expected = batches(remote, 30, cache=tmp_path / "a")
    first = gato_data.load(remote, batch_size=4, cache=tmp_path / "a")
    assert_equal(list(islice(first, 11)), expected[:11])
    second = gato_data.load(remote, batch_size=4, cache=tmp_path / "b", workers=2)
    second.set_state(first.get_state())
    assert_equal(list(islice(second, 19)), expected[11:])
    first.close()
    second.close()


def test_a_mixture_may_lie_on_the_server(server: Server, remote: str, tmp_path: Path) -> None:
    folder, name = remote.rsplit("/", 1)
    mixture = f"{folder}/{name}.yaml"
    server.store.pipe_file(mixture, f"{name}: {{weight: 1, datasets: {{notes: 1}}}}\n".encode())
    found = batches(mixture, 6, provenance=True, cache=tmp_path)
    assert {one.split("/")[0] for one in ids(found)} == {"notes"}


def test_addresses_of_this_machine_need_no_copies(arrow: Path, tmp_path: Path) -> None:
    found = batches(f"file://{arrow}", provenance=True, cache=tmp_path / "cache")
    assert_equal(found, batches(arrow, provenance=True))
    assert not (tmp_path / "cache").exists()


def test_any_store_of_fsspec_will_do(arrow: Path, remote: str, tmp_path: Path) -> None:
    url = f"memory://{uuid.uuid4().hex}"
    fsspec.filesystem("memory").put(str(arrow), url.removeprefix("memory://"), recursive=True)
    found = batches(url, provenance=True, cache=tmp_path / "memory")
    assert_equal(found, batches(remote, provenance=True, cache=tmp_path / "s3"))


def test_tasks_need_every_shard(remote: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="copy the directory to a local file system"):
        gato_data.load(remote, batch_size=4, within="tasks", cache=tmp_path)
