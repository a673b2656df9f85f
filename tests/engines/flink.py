"""A real cluster of Flink on this machine: a job manager, two task managers, Beam's job server.

Each is a process of its own. Flink's distribution is no package of Maven, so the cluster is started
from its libraries, by the classes that Flink's own scripts start.
"""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CACHE = Path(__file__).parents[2] / ".cache/flink"
POM = Path(__file__).with_name("flink.xml")
_COPY = ("-DincludeScope=runtime", f"-DoutputDirectory={CACHE / 'jars'}")
TASK_MANAGERS = 2
# Seconds. Processors that other tests use, too, make a Java process start in minutes.
_START = 300

# What Flink's own configuration opens for Java 17.
_EXPORTS = (
    "java.base/sun.net.util",
    "java.rmi/sun.rmi.registry",
    "java.security.jgss/sun.security.krb5",
)
_OPENS = tuple(
    f"java.base/{package}"
    for package in (
        "java.lang",
        "java.lang.reflect",
        "java.net",
        "java.io",
        "java.nio",
        "java.text",
        "java.time",
        "java.util",
        "java.util.concurrent",
        "java.util.concurrent.atomic",
        "java.util.concurrent.locks",
        "sun.nio.ch",
    )
)
_JOB_SERVER = "org.apache.beam.runners.flink.FlinkJobServerDriver"
_JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
_TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"

# As small as it runs. Timeouts are long, for machines that are busy with other tests.
_CONFIG = """\
jobmanager.rpc.address: localhost
jobmanager.rpc.port: {rpc}
jobmanager.bind-host: localhost
jobmanager.memory.process.size: 768m
jobmanager.execution.failover-strategy: full
rest.address: localhost
rest.bind-address: localhost
rest.port: {rest}
taskmanager.host: localhost
taskmanager.bind-host: localhost
taskmanager.numberOfTaskSlots: 1
taskmanager.cpu.cores: 1.0
taskmanager.memory.framework.heap.size: 64m
taskmanager.memory.framework.off-heap.size: 64m
taskmanager.memory.task.heap.size: 192m
taskmanager.memory.task.off-heap.size: 32m
taskmanager.memory.managed.size: 64m
taskmanager.memory.network.min: 32m
taskmanager.memory.network.max: 32m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 64m
taskmanager.memory.jvm-overhead.max: 64m
io.tmp.dirs: {folder}
heartbeat.timeout: 600000
pekko.ask.timeout: 300s
slot.request.timeout: 600000
"""


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.

    Attributes:
      rest: address of its job manager.
      jobs: address of Beam's job server for it.
      folder: holds the logs of all processes.
    """

    rest: str
    jobs: str
    folder: Path

    def ask(self, path: str) -> Any:
        """What the job manager tells, such as `/jobs`."""
        return _ask(self.rest, path)

    def hosts_of_tasks(self) -> list[set[str]]:
        """Of each job, oldest first, the task managers that ran some of it."""
        jobs = sorted(self.ask("/jobs/overview")["jobs"], key=lambda job: job["start-time"])
        return [set(self._hosts(job["jid"])) for job in jobs]

    def _hosts(self, job: str) -> Iterator[str]:
        for vertex in self.ask(f"/jobs/{job}")["vertices"]:
            for task in self.ask(f"/jobs/{job}/vertices/{vertex['id']}")["subtasks"]:
                yield task["taskmanager-id"]


def why_not() -> str | None:
    """Brings the libraries here; says why that is not possible."""
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if missing:
        return f"there is no {' and no '.join(missing)} on this machine"
    if (CACHE / "complete").exists():
        return None
    found = subprocess.run(
        ["mvn", "-q", "-B", "-f", POM, "dependency:copy-dependencies", *_COPY],
        capture_output=True,
        text=True,
    )
    if found.returncode:
        return f"Maven could not bring the libraries: {found.stdout.strip()[:300]}"
    (CACHE / "complete").touch()
    return None


def job_server_jar() -> Path:
    """A jar file that is Beam's job server, as `--flink_job_server_jar` takes it."""
    jars = sorted((CACHE / "jars").glob("*.jar"))
    manifest = [
        "Manifest-Version: 1.0",
        f"Main-Class: {_JOB_SERVER}",
        f"Add-Opens: {' '.join(_OPENS)}",
        f"Class-Path: {' '.join(f'jars/{jar.name}' for jar in jars)}",
    ]
    # A line of a manifest has 72 bytes at most, and goes on in the next after a space.
    lines = [
        text if start == 0 else f" {text}"
        for line in manifest
        for start in range(0, len(line), 70)
        for text in [line[start : start + 70]]
    ]
    path = CACHE / "job-server.jar"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("META-INF/MANIFEST.MF", "\n".join(lines) + "\n")
    return path


@contextlib.contextmanager
def running() -> Iterator[Cluster]:
    """Runs a cluster; ends all its processes afterwards."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flink")))
        rpc, rest, jobs = _free_ports(3)
        (folder / "flink-conf.yaml").write_text(_CONFIG.format(rpc=rpc, rest=rest, folder=folder))
        cluster = Cluster(f"localhost:{rest}", f"localhost:{jobs}", folder)

        flink = [jar for jar in (CACHE / "jars").glob("*.jar") if not jar.name.startswith("beam-")]
        configured = ["--configDir", str(folder)]
        stack.enter_context(_java("job-manager", folder, flink, [_JOB_MANAGER, *configured]))
        for number in range(TASK_MANAGERS):
            name = f"task-manager-{number}"
            stack.enter_context(_java(name, folder, flink, [_TASK_MANAGER, *configured]))
        _wait(lambda: len(cluster.ask("/taskmanagers")["taskmanagers"]) == TASK_MANAGERS, folder)

        serving = [_JOB_SERVER, f"--flink-master={cluster.rest}", f"--job-port={jobs}"]
        serving += ["--artifact-port=0", "--expansion-port=-1", f"--artifacts-dir={folder}/staged"]
        every = sorted((CACHE / "jars").glob("*.jar"))
        stack.enter_context(_java("job-server", folder, every, serving))
        _wait(lambda: _is_open(jobs), folder)
        yield cluster


@contextlib.contextmanager
def _java(
    name: str, folder: Path, jars: Sequence[Path], arguments: Sequence[str]
) -> Iterator[subprocess.Popen[bytes]]:
    flags = [f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS]
    flags += [f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTS]
    # Quick to start, and small, rather than fast when it has run for long.
    flags += ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx320m"]
    path = os.pathsep.join(map(str, jars))
    with open(folder / f"{name}.log", "wb") as log:
        process = subprocess.Popen(
            ["java", *flags, "-cp", path, *arguments],
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _ask(address: str, path: str) -> Any:
    with urllib.request.urlopen(f"http://{address}{path}") as answer:
        return json.load(answer)


def _is_open(port: int) -> bool:
    with socket.create_connection(("localhost", port)):
        return True


def _wait(is_ready: Callable[[], bool], folder: Path) -> None:
    deadline = time.monotonic() + _START
    while True:
        with contextlib.suppress(OSError):
            if is_ready():
                return
        if time.monotonic() > deadline:
            logs = {log.name: log.read_text()[-2000:] for log in folder.glob("*.log")}
            raise TimeoutError(f"the cluster did not start: {logs}")
        time.sleep(0.5)


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("localhost", 0))
        return [one.getsockname()[1] for one in sockets]
