"""Where a fault happens: a build of its own, that can be started, looked at and put right again."""

import contextlib
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.building.builds import file_bytes
from tests.faults.ground import Ground
from tests.faults.proxy import Proxy
from tests.faults.running import Disk, Running, small_disk, start, wait_until, written
from tests.s3 import Server

# A store that is in trouble is given up soon: the runs are to end, and to be run again.
IMPATIENT = {"AWS_MAX_ATTEMPTS": "2"}
_RERUNS = 4


@dataclass(frozen=True)
class Store:
    """An object store, which builds reach through a proxy."""

    server: Server
    proxy: Proxy

    @property
    def environment(self) -> dict[str, str]:
        return self.server.environment | IMPATIENT | {"AWS_ENDPOINT_URL": self.proxy.endpoint}


@dataclass
class Scene:
    """One build.

    Attributes:
      folder: of this scene alone.
      config: what is built.
      output: the folder or address where it goes.
      calm: what an undisturbed build leaves.
      disk: the small file system that holds `output`, if there is one.
      store: the object store that holds `output`, if it is not local.
    """

    folder: Path
    config: Path
    output: str
    calm: Mapping[str, bytes]
    disk: Disk | None = None
    store: Store | None = None
    _started: list[Running] = field(default_factory=list)

    @property
    def inputs(self) -> Path:
        return self.config.parent

    def start(
        self,
        *arguments: str,
        environment: Mapping[str, str] | None = None,
        prepare: Callable[[], None] | None = None,
    ) -> Running:
        """Starts the build; arguments as of `running.start`."""
        variables = (self.store.environment if self.store else {}) | dict(environment or {})
        running = start(
            self.config,
            self.output,
            *arguments,
            errors=self.folder,
            environment=variables,
            prepare=prepare,
        )
        self._started.append(running)
        return running

    def reaches(self, running: Running, count: int) -> bool:
        """Waits until a build has written so many files; False if it ended before."""
        store = self.store
        if store:
            before = store.proxy.uploads
            return wait_until(running, lambda: store.proxy.uploads - before >= count)
        return wait_until(running, lambda: written(Path(self.output)) >= count)

    def tree(self) -> dict[str, bytes]:
        """Names and bytes of all files of the output but `run.json`."""
        if not self.store:
            return file_bytes(Path(self.output))
        client, inner = self.store.server.store, self.output.removeprefix("s3://")
        found = client.find(inner)
        contents = client.cat(found) if found else {}
        names = {path.removeprefix(f"{inner}/"): data for path, data in contents.items()}
        return {name: data for name, data in names.items() if name != "run.json"}

    def times(self) -> dict[str, int]:
        """When each file of a local output was written; for those that must not be touched."""
        output = Path(self.output)
        found = (path for path in output.rglob("*") if path.is_file())
        return {str(path.relative_to(output)): path.stat().st_mtime_ns for path in found}

    def repair(self) -> int:
        """Runs the same command until it ends well; how often that was.

        Raises:
          AssertionError: it never does.
        """
        for runs in range(1, _RERUNS + 1):
            ended = self.start().end()
            if ended.status == 0:
                return runs
        raise AssertionError(f"The same command fails {_RERUNS} times: {ended.errors}")

    def close(self) -> None:
        """Ends what still runs, and removes what lies in the store."""
        for running in self._started:
            running.signal(signal.SIGKILL)
            running.process.join()
        if self.store:
            self.store.proxy.restore()
            for path in self.store.server.store.find(self.output):
                self.store.server.store.rm_file(path)

    def differences(self) -> list[str]:
        """Names of files that an undisturbed build would not have left so; empty: all is well."""
        found, calm = self.tree(), self.calm
        return sorted(name for name in found.keys() | calm if found.get(name) != calm.get(name))


@contextmanager
def scene_of(
    ground: Ground,
    folder: Path,
    output_format: str,
    store: Store | None = None,
    needs_disk: bool = False,
) -> Iterator[Scene]:
    """A scene with inputs of its own, which is removed when nothing in it runs any more.

    Args:
      ground: of which it takes inputs and calm build.
      folder: for all that is local, made for it.
      output_format: one of `ground.FORMATS`.
      store: that holds the output; default: it is local.
      needs_disk: whether the output is to be on a small file system, if one can be mounted.
    """
    shutil.copytree(ground.inputs, folder / "inputs")
    with contextlib.ExitStack() as stack:
        disk = stack.enter_context(small_disk(folder / "disk")) if needs_disk else None
        output = str((disk.folder if disk else folder) / "out")
        if store:
            output = f"s3://{store.server.bucket}/{uuid.uuid4().hex}"
        config = folder / "inputs" / f"{output_format}.yaml"
        scene = Scene(folder, config, output, ground.calm(output_format), disk, store)
        try:
            yield scene
        finally:
            scene.close()
    shutil.rmtree(folder)
