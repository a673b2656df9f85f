"""A proxy before an object store, that can be cut, stopped and made to fail: a server in trouble.

proxy = Proxy(server.endpoint)
proxy.cut_at = 7            # the seventh upload breaks off in the middle, and the server is gone
...
proxy.restore()             # and is back, with all that it holds
"""

import contextlib
import random
import socket
import struct
import threading
import time
from io import BufferedReader
from urllib.parse import urlsplit

_CHUNK = 1 << 16
_RESET = struct.pack("ii", 1, 0)


class Proxy:
    """Passes HTTP on to a server.

    Attributes:
      uploads: PUT requests so far.
      failures: requests so far that were answered with an error.
      cut_at: the upload in whose middle the server goes away; None: in none.
      error_share: of requests that are answered with an error, drawn at random.
      statuses: of these errors.
    """

    def __init__(self, endpoint: str, seed: int = 0) -> None:
        address = urlsplit(endpoint)
        self._server = (str(address.hostname), int(address.port or 80))
        self._chance = random.Random(seed)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._flows = threading.Event()
        self._flows.set()
        self._port = 0
        self.uploads = 0
        self.failures = 0
        self.cut_at: int | None = None
        self.error_share = 0.0
        self.statuses = (500, 503)
        self._listener: socket.socket | None = self._listen()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def is_cut(self) -> bool:
        return self._listener is None

    def cut(self) -> None:
        """The server is gone: connections break, and there is nobody to connect to."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections, self._open = self._open, set()
        if listener:
            # Closing alone does not wake up who waits for connections.
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.shutdown(socket.SHUT_RDWR)

    def restore(self) -> None:
        """The server is well again."""
        self.cut_at, self.error_share = None, 0.0
        self._flows.set()
        if self._listener is None:
            self._listener = self._listen()

    def stall(self) -> None:
        """The server does not answer any more, until it is restored."""
        self._flows.clear()

    def _listen(self) -> socket.socket:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        """Passes the requests of one connection on, one after the other."""
        with contextlib.suppress(OSError, ConnectionError), client:
            with socket.create_connection(self._server) as server:
                with self._lock:
                    if self._listener is None:
                        return
                    self._open |= {client, server}
                answers = threading.Thread(target=self._pass, args=(server, client), daemon=True)
                answers.start()
                self._requests(client, server)
                with contextlib.suppress(OSError):
                    server.shutdown(socket.SHUT_WR)
                answers.join(5)
            with self._lock:
                self._open -= {client, server}

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        with client.makefile("rb") as incoming:
            while head := _read_head(incoming):
                self._flows.wait()
                is_upload = head.startswith(b"PUT ")
                with self._lock:
                    self.uploads += is_upload
                    is_cut = is_upload and self.uploads == self.cut_at
                    is_failed = self._chance.random() < self.error_share
                    self.failures += is_failed
                size = _body_size(head)
                if is_failed:
                    _refuse(client, incoming, head, size, self._chance.choice(self.statuses))
                    return
                server.sendall(head)
                rest = size // 2 if is_cut else size
                while rest > 0 and (data := incoming.read1(min(rest, _CHUNK))):
                    server.sendall(data)
                    rest -= len(data)
                if is_cut:
                    self.cut()
                    return

    def _pass(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_CHUNK):
                self._flows.wait()
                client.sendall(data)
            client.shutdown(socket.SHUT_RDWR)


def _read_head(incoming: BufferedReader) -> bytes:
    """The first line of a request and its headers; empty at the end."""
    lines = []
    while line := incoming.readline():
        lines.append(line)
        if line == b"\r\n":
            return b"".join(lines)
    return b""


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip().lower()
    return b""


def _body_size(head: bytes) -> int:
    if _header(head, b"transfer-encoding"):
        raise ConnectionError("the proxy does not know bodies in chunks")
    return int(_header(head, b"content-length") or 0)


def _refuse(
    client: socket.socket, incoming: BufferedReader, head: bytes, size: int, status: int
) -> None:
    """Answers a request with an error of the server."""
    if not _header(head, b"expect"):
        incoming.read(size)
    code = {500: "InternalError", 503: "ServiceUnavailable"}[status]
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code></Error>".encode()
    lines = [f"HTTP/1.1 {status} {code}", f"Content-Length: {len(body)}", "Connection: close"]
    client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
    client.shutdown(socket.SHUT_WR)
    # Until the other side has read it: closing at once could take the answer back.
    client.settimeout(5)
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and client.recv(_CHUNK):
        pass
