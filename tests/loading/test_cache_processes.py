"""Processes that share a folder of copies: what one uses, fetches or leaves behind."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from gato_data.errors import GatoDataError
from gato_data.loading.cache import Cache
from gato_data.loading.fetching import RemoteShard
from tests.loading.stores import content, names, numbers, put, quick

HOLD = """
import sys
from gato_data.loading.cache import Cache
from gato_data.loading.fetching import RemoteShard
url, size, crc32c, folder, most = sys.argv[1:]
cache = Cache(folder, int(most), patience=5)
print(open(cache.hold(RemoteShard(url, int(size), crc32c, None, 1), lambda: False), "rb").read(1))
sys.stdout.flush()
sys.stdin.read()
"""


def other_process(shard: RemoteShard, folder: Path, most: int) -> subprocess.Popen[bytes]:
    """Holds a shard until its input ends."""
    given = [shard.url, str(shard.size), shard.crc32c, str(folder), str(most)]
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, *given], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


@pytest.fixture
def shared(tmp_path: Path) -> str:
    """A store that several processes see."""
    return f"file://{tmp_path}/store"


def test_what_another_process_uses_stays_until_it_ends(shared: str, tmp_path: Path) -> None:
    shards = [put(shared, number) for number in range(2)]
    folder = tmp_path / "cache"
    with other_process(shards[0], folder, 1500) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"b'\\x00'\n"
        with pytest.raises(GatoDataError, match="other processes use what is there"):
            quick(folder, 1500).hold(shards[1], release_other=lambda: False)
        assert numbers(folder) == {0}
        waiting = Cache(folder, 1500, patience=60)
        threading.Timer(0.3, other.kill).start()
        waiting.hold(shards[1], release_other=lambda: False)
    assert numbers(folder) == {1}


def test_processes_that_want_the_same_agree(shared: str, tmp_path: Path) -> None:
    shard = put(shared, 3, 3 << 20)
    folder = tmp_path / "cache"
    # There is room for one, so that a second one that is fetched would find none.
    running = [other_process(shard, folder, 4 << 20) for _ in range(3)]
    assert [process.communicate()[0] for process in running] == [b"b'\\x03'\n"] * 3
    assert numbers(folder) == {3}


KILLED = """
import os, sys
from gato_data.loading import fetching
from gato_data.loading.cache import Cache
write = fetching._write_all
fetching._write_all = lambda descriptor, data: (write(descriptor, data[:10]), os._exit(9))
url, size, crc32c, folder = sys.argv[1:]
Cache(folder, 5000).hold(fetching.RemoteShard(url, int(size), crc32c, None, 1))
"""


def test_what_a_killed_process_left_is_written_anew(shared: str, tmp_path: Path) -> None:
    shard, other = put(shared, 1), put(shared, 2)
    folder = tmp_path / "cache"
    command = [sys.executable, "-c", KILLED, shard.url, "1000", shard.crc32c, str(folder)]
    for fetched in (shard, other):
        assert subprocess.run(command, check=False).returncode == 9
        assert names(folder) >= {f"{shard.name}.part"}
        path = quick(folder, 1500).hold(fetched)  # has no room beside what was left
        assert Path(path).read_bytes() == content(1 if fetched is shard else 2)
        assert names(folder) == {fetched.name}
        Path(path).unlink()


def test_a_full_disk_is_an_error_of_the_system(shared: str, tmp_path: Path) -> None:
    shard = put(shared, 1, 200_000)
    script = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000));"
        "from gato_data.loading.cache import Cache;"
        "from gato_data.loading.fetching import RemoteShard;"
        "url, size, crc32c, folder = sys.argv[1:]\n"
        "try: Cache(folder, 1 << 20).hold(RemoteShard(url, int(size), crc32c, None, 1))\n"
        "except OSError as error: print(type(error).__name__, error.errno)"
    )
    given = [shard.url, str(shard.size), shard.crc32c, str(tmp_path / "cache")]
    finished = subprocess.run(
        [sys.executable, "-c", script, *given], capture_output=True, text=True, check=False
    )
    assert finished.stdout == "OSError 27\n", finished.stderr  # EFBIG
    assert names(tmp_path / "cache") == set()
