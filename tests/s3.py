"""An S3-compatible server on loopback, in a process of its own, for tests.

`GATO_TEST_S3_ENDPOINT` gives the address of another one, with its keys in the usual variables
AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; tests that stop the server or read its log are left out
then.
"""

import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections import Counter
from functools import cached_property
from pathlib import Path

import fsspec
import pytest

ENDPOINT = "GATO_TEST_S3_ENDPOINT"
_KEYS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "tests-secret"}
_GET = re.compile(r'"(?:\x1b\[[0-9;]*m)*GET (/[^ ?]+)[^"]* HTTP/1\.1(?:\x1b\[[0-9;]*m)*" 2\d\d')


# A server that holds the files of a folder from the first moment on.
_FILLED = """
import sys
from pathlib import Path
import boto3, moto
from moto.server import main
port, bucket, folder, name = sys.argv[1:]
moto.mock_aws().start()
client = boto3.client("s3", "us-east-1")
client.create_bucket(Bucket=bucket)
for path in Path(folder).rglob("*"):
    if path.is_file():
        key = f"{name}/{path.relative_to(folder)}"
        client.put_object(Bucket=bucket, Key=key, Body=path.read_bytes())
main(["-H", "127.0.0.1", "-p", port])
"""


class Server:
    """The server, as it is started, stopped and asked what it gave."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.given = os.environ.get(ENDPOINT)
        self.bucket = f"tests-{uuid.uuid4().hex[:12]}"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = probe.getsockname()[1]
        self.start()

    @property
    def endpoint(self) -> str:
        return self.given or f"http://127.0.0.1:{self._port}"

    @property
    def environment(self) -> dict[str, str]:
        """Where libraries for S3 look for the address and the keys."""
        keys = {} if self.given else _KEYS
        return {"AWS_ENDPOINT_URL": self.endpoint, "AWS_DEFAULT_REGION": "us-east-1", **keys}

    def start(self) -> None:
        """Starts it, empty."""
        self._run("-m", "moto.server", "-H", "127.0.0.1", "-p", str(self._port))

    def start_filled(self, folder: Path, name: str) -> None:
        """Starts it anew where it was, as if `put` had been called before it was there."""
        self._run("-c", _FILLED, str(self._port), self.bucket, str(folder), name)

    def _run(self, *command: str) -> None:
        if self.given:
            return
        environment = os.environ | _KEYS
        environment.pop("AWS_ENDPOINT_URL", None)
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, *command], stdout=log, stderr=log, env=environment
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self._port), 1).close()
                return
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(self._log.read_text()) from None
                time.sleep(0.05)

    def stop(self) -> None:
        """Kills it, with all that it holds."""
        if self.given:
            pytest.skip("the server is not ours to stop")
        self._process.kill()
        self._process.wait()

    def fetched(self) -> Counter[str]:
        """How often each object was read, by its name without the folders."""
        if self.given:
            pytest.skip("the server keeps no log for us")
        return Counter(path.rsplit("/", 1)[-1] for path in _GET.findall(self._log.read_text()))

    def put(self, folder: Path, name: str) -> str:
        """Copies a folder into the bucket; its address."""
        url = f"s3://{self.bucket}/{name}"
        store = self.store
        store.makedirs(self.bucket, exist_ok=True)
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                store.put_file(str(path), f"{url}/{path.relative_to(folder)}")
        return url

    @cached_property
    def store(self) -> fsspec.AbstractFileSystem:
        """A client of it that remembers nothing."""
        return fsspec.filesystem("s3", use_listings_cache=False, skip_instance_cache=True)
