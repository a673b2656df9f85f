"""A stand-in for the Dataflow service on loopback, which runs the jobs that it is sent.

It speaks as much of the service's REST interface as Beam's client uses, takes the graph from where
the client staged it, and runs it with Beam's local runner in place of machines with the image.
"""

import json
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_runner_api_pb2 as api
from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner

from tests.dataflow.jobs import functions_of


class Service(ThreadingHTTPServer):
    """Jobs that were sent, with what became of them, and the steps of each that are our own."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.jobs: list[dict[str, Any]] = []
        self.errors: dict[str, str] = {}
        self.steps: list[set[str]] = []

    @property
    def endpoint(self) -> str:
        return f"http://localhost:{self.server_port}"

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        job |= {"id": f"job-{len(self.jobs)}", "currentState": "JOB_STATE_DONE"}
        self.jobs.append(job)
        staged = job["environment"]["sdkPipelineOptions"]["options"]["pipelineUrl"]
        graph = api.Pipeline.FromString(Path(staged).read_bytes())
        self.steps.append({x for x in functions_of(graph) if not x.startswith("Spread")})
        for environment in graph.components.environments.values():
            environment.urn, environment.payload = python_urns.EMBEDDED_PYTHON, b""
            del environment.dependencies[:]
        try:
            FnApiRunner().run_via_runner_api(graph, PipelineOptions([])).wait_until_finish()
        except Exception:
            # As the service does: the worker's traceback as a message, and the job has failed.
            job["currentState"] = "JOB_STATE_FAILED"
            self.errors[job["id"]] = traceback.format_exc()
        # Whoever sends a job hears that it waits, and asks for the rest.
        return job | {"currentState": "JOB_STATE_PENDING"}


class _Handler(BaseHTTPRequestHandler):
    server: Service

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._answer(self.server.run(sent))

    def do_GET(self) -> None:
        parts = self.path.partition("?")[0].split("/")
        name = parts[parts.index("jobs") + 1]
        if parts[-1] == "messages":
            self._answer({"jobMessages": self._messages(name)})
        else:
            self._answer(next(job for job in self.server.jobs if job["id"] == name))

    def _messages(self, name: str) -> list[dict[str, str]]:
        found = self.server.errors.get(name)
        error = {
            "id": "1",
            "time": "2026-01-01T00:00:00Z",
            "messageText": found or "",
            "messageImportance": "JOB_MESSAGE_ERROR",
        }
        return [error] if found else []

    def _answer(self, found: dict[str, Any]) -> None:
        data = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Says nothing."""


@contextmanager
def serving() -> Iterator[Service]:
    service = Service()
    thread = threading.Thread(target=service.serve_forever, daemon=True)
    thread.start()
    try:
        yield service
    finally:
        service.shutdown()
        service.server_close()
        thread.join()
