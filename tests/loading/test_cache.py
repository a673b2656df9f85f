"""The folder of copies: right bytes, within its bound, whatever other processes do."""

import os
import pickle
import threading
import time
import uuid
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.errors import GatoDataError, UsageError
from gato_data.loading.cache import Cache, CacheFull, default_folder
from gato_data.loading.directory import Build, ShardEntry
from gato_data.loading.fetching import RemoteShard
from gato_data.storage import files
from tests.loading.stores import content, names, numbers, put, put_tfrecord, quick


@pytest.fixture
def store() -> str:
    return f"memory://{uuid.uuid4().hex}"


def test_a_copy_is_fetched_once_and_stays(store: str, tmp_path: Path) -> None:
    shard = put(store, 1)
    first = quick(tmp_path)
    path = first.hold(shard)
    assert Path(path).read_bytes() == content(1)
    assert Path(path).parent == tmp_path
    files.remove(shard.url)
    assert first.hold(shard) == path
    first.release(shard)
    assert quick(tmp_path).hold(shard) == path
    assert names(tmp_path) == {f"{shard.crc32c}-1000-toy-train-00001-of-00099.arrow"}


def test_builds_with_the_same_shard_share_a_copy(store: str, tmp_path: Path) -> None:
    one, other = put(f"{store}/one", 1), put(f"{store}/other", 1)
    assert quick(tmp_path).hold(one) == quick(tmp_path).hold(other)


@pytest.mark.parametrize("found", [content(2), content(1, 999), content(1, 5000), b""])
def test_a_shard_that_is_not_as_it_was_built_is_refused(
    store: str, tmp_path: Path, found: bytes
) -> None:
    shard = put(store, 1)
    files.publish_bytes(shard.url, found)
    with pytest.raises(GatoDataError, match="fetched twice, it has") as caught:
        quick(tmp_path).hold(shard)
    assert shard.url in str(caught.value)
    assert shard.crc32c in str(caught.value)
    assert names(tmp_path) == set()


def test_a_shard_that_is_gone_is_named(store: str, tmp_path: Path) -> None:
    shard = put(store, 1)
    files.remove(shard.url)
    with pytest.raises(GatoDataError, match=f"{shard.url}: the file is gone"):
        Cache(tmp_path, 1 << 20, waits=(60.0,)).hold(shard)  # it does not wait for it
    assert names(tmp_path) == set()


def flipped(data: bytes) -> bytes:
    return data[:500] + b"\xff" + data[501:]


@pytest.mark.parametrize("damaged", [flipped(content(1)), content(1, 999), content(1, 1001), b""])
def test_a_damaged_copy_is_fetched_again(store: str, tmp_path: Path, damaged: bytes) -> None:
    shard = put(store, 1)
    cache = quick(tmp_path)
    path = Path(cache.hold(shard))
    cache.release(shard)
    path.write_bytes(damaged)
    assert quick(tmp_path).hold(shard) == str(path)
    assert path.read_bytes() == content(1)
    path.write_bytes(damaged)
    files.remove(shard.url)
    with pytest.raises(GatoDataError, match="the file is gone"):
        quick(tmp_path).hold(shard)


def test_a_removed_folder_is_made_again(store: str, tmp_path: Path) -> None:
    shard = put(store, 1)
    folder = tmp_path / "a" / "b"
    cache = quick(folder)
    assert not folder.exists()
    path = Path(cache.hold(shard))
    path.unlink()
    (folder / ".lock").unlink()
    folder.rmdir()
    assert Path(cache.hold(shard)).read_bytes() == content(1)


def test_the_one_used_longest_ago_goes_first(store: str, tmp_path: Path) -> None:
    shards = [put(store, number) for number in range(4)]
    cache = quick(tmp_path, 3000)
    for shard in shards[:3]:
        cache.hold(shard)
    for number in (1, 0, 2):
        cache.release(shards[number])
    cache.hold(shards[3])
    assert numbers(tmp_path) == {0, 2, 3}
    cache.hold(shards[0])
    cache.release(shards[0])
    cache.hold(shards[1])
    assert numbers(tmp_path) == {0, 1, 3}


def test_what_is_in_use_stays(store: str, tmp_path: Path) -> None:
    shards = [put(store, number) for number in range(4)]
    cache = quick(tmp_path, 2500)
    cache.hold(shards[0])
    cache.hold(shards[1])
    with pytest.raises(CacheFull):
        cache.hold(shards[2])
    with pytest.raises(GatoDataError, match="no room for its 1,000 bytes") as caught:
        quick(tmp_path, 2500).hold(shards[2], release_other=lambda: False)
    assert "cache_bytes = 2,500" in str(caught.value)
    assert names(tmp_path) == {shards[0].name, shards[1].name}

    def release() -> bool:
        cache.release(shards[0])
        return True

    cache.hold(shards[2], release)
    assert numbers(tmp_path) == {1, 2}


sizes = st.lists(st.integers(1, 400), min_size=2, max_size=6)
steps = st.lists(st.tuples(st.integers(0, 5), st.booleans()), max_size=30)


@settings(deadline=None)
@given(sizes=sizes, steps=steps, most=st.integers(400, 1200))
def test_it_is_as_a_list_of_last_uses(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], steps: list, most: int
) -> None:
    folder, store = tmp_path_factory.mktemp("cache"), f"memory://{uuid.uuid4().hex}"
    shards = [put(store, number, size) for number, size in enumerate(sizes)]
    cache = quick(folder, most)
    there: list[int] = []  # the oracle: by last use, and those in use
    held: set[int] = set()
    for number, is_hold in steps:
        number %= len(shards)
        if not is_hold:
            cache.release(shards[number])
            if number in held:
                held.remove(number)
                there = [x for x in there if x != number] + [number]
        elif number not in held:
            kept = [x for x in there if x != number]
            if number not in there:
                free = [x for x in kept if x not in held]
                while sum(sizes[x] for x in kept) + sizes[number] > most and free:
                    kept.remove(free.pop(0))
            if sum(sizes[x] for x in kept) + sizes[number] > most:
                there = kept
                with pytest.raises(CacheFull):
                    cache.hold(shards[number])
            else:
                cache.hold(shards[number])
                there = [*kept, number]
                held.add(number)
        else:
            cache.hold(shards[number])
        assert numbers(folder) == set(there)
    for number in held:
        cache.release(shards[number])


def test_threads_that_want_the_same_agree(store: str, tmp_path: Path) -> None:
    shards = [put(store, number, 100_000) for number in range(3)]
    cache = quick(tmp_path, 300_000)
    failed: list[Exception] = []

    def work(first: int) -> None:
        try:
            for number in range(30):
                shard = shards[(first + number) % 3]
                assert Path(cache.hold(shard)).read_bytes() == content(
                    (first + number) % 3, 100_000
                )
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert names(tmp_path) == {shard.name for shard in shards}


def test_other_files_are_none_of_its_business(store: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_bytes(bytes(5000))
    (tmp_path / "toy-train-00001-of-00099.arrow").write_bytes(bytes(5000))
    cache = quick(tmp_path, 1000)
    for number in range(2):
        shard = put(store, number)
        cache.hold(shard)
        cache.release(shard)
    assert (tmp_path / "notes.txt").stat().st_size == 5000
    assert names(tmp_path) == {"notes.txt", "toy-train-00001-of-00099.arrow", shard.name}


def test_a_sidecar_lies_beside_its_shard_and_goes_with_it(store: str, tmp_path: Path) -> None:
    shard = put_tfrecord(store, [0, 400, 1000])
    cache = quick(tmp_path, 1024)
    path = cache.hold(shard)
    sidecar = f"{shard.crc32c}-1000-toy-train-00000-of-00001.offsets"
    assert names(tmp_path) == {shard.name, sidecar}
    assert (tmp_path / sidecar).read_bytes() == np.array([0, 400, 1000], "<u8").tobytes()
    cache.release(shard)
    (tmp_path / sidecar).write_bytes(bytes(24))
    cache.hold(shard)
    assert (tmp_path / sidecar).read_bytes() == np.array([0, 400, 1000], "<u8").tobytes()
    cache.release(shard)
    with pytest.raises(CacheFull):
        quick(tmp_path / "small", 1023).hold(shard)
    cache.hold(put(store, 1))
    assert not Path(path).exists()
    assert not (tmp_path / sidecar).exists()


def test_a_sidecar_without_a_shard_is_removed(store: str, tmp_path: Path) -> None:
    lost = tmp_path / "00000000-9-toy-train-00000-of-00001.offsets"
    lost.write_bytes(bytes(24))
    quick(tmp_path, 1000).hold(put(store, 1))
    assert not lost.exists()


@pytest.mark.parametrize(
    ("offsets", "fault"),
    [
        ([0, 1000], "not the 24 bytes of offsets of 2 records"),
        ([0, 1, 2, 1000], "not the 24 bytes of offsets of 2 records"),
        ([0, 400, 999], "it ends at 999, the shard at 1,000"),
    ],
)
def test_a_sidecar_of_something_else_is_refused(
    store: str, tmp_path: Path, offsets: list[int], fault: str
) -> None:
    shard = put_tfrecord(store, offsets)
    with pytest.raises(GatoDataError, match=f"{shard.sidecar}: {fault}"):
        quick(tmp_path).hold(shard)
    assert names(tmp_path) == set()


def test_a_stopped_fetch_ends(store: str, tmp_path: Path) -> None:
    shard = put(store, 1)
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(GatoDataError, match="not fetched, as the loader was closed"):
        quick(tmp_path).hold(shard, stopped=stopped)


def test_another_process_begins_with_nothing_held(store: str, tmp_path: Path) -> None:
    shard = put(store, 1)
    cache = quick(tmp_path, 1000)
    cache.hold(shard)
    other = pickle.loads(pickle.dumps(cache))
    with pytest.raises(CacheFull):
        other.hold(put(store, 2))
    cache.release(shard)
    assert Path(other.hold(put(store, 2))).read_bytes() == content(2)


def test_the_folder_is_that_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/caches")
    assert default_folder() == "/caches/gato-data"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_folder() == "/home/somebody/.cache/gato-data"
    assert Cache("~/x", 1).folder == "/home/somebody/x"


def test_what_cannot_be_a_cache_is_refused() -> None:
    with pytest.raises(UsageError, match="cache is s3://bucket/x: give a folder"):
        Cache("s3://bucket/x", 1)
    with pytest.raises(UsageError, match="cache_bytes is 0, but must be at least 1"):
        Cache("/x", 0)


@pytest.mark.parametrize(
    ("file", "crc32c"),
    [("data/toy-train-00000-of-00001.arrow", "../../.."), ("data/notes", "00000000")],
)
def test_names_that_no_build_gives_are_refused(file: str, crc32c: str) -> None:
    build = Build("s3://bucket/out", {"format": "arrow"}, ())
    entry = ShardEntry("toy", "train", file, 1, 9, crc32c, 0, None, [], None)
    with pytest.raises(UsageError, match=r"shards\.parquet gives it 9 bytes and the checksum"):
        RemoteShard.of(build, entry)


def test_waits_grow_between_tries(tmp_path: Path) -> None:
    shard = RemoteShard("s3://bucket/toy-train-00000-of-00001.arrow", 1, "00000000", None, 1)
    environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    keys = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment | keys).items():
            patch.setenv(name, value)
        started = time.monotonic()
        with pytest.raises(GatoDataError, match=f"{shard.url}: cannot be read"):
            Cache(tmp_path, 10, waits=(0.1, 0.4)).hold(shard)
        assert time.monotonic() - started >= 0.5
    assert os.listdir(tmp_path) == [".lock"]
