"""What is damaged in a finished build, so that the same build makes it again, and nothing else.

A finished build is not trusted by the sizes of its files: every shard is held to the checksum in
its sidecar, by the workers, and every other file to the list of files.
"""

from typing import Any

from gato_data.building.context import Job
from gato_data.building.files_list import FilesListError, faults, read_list
from gato_data.building.plan import PLAN_FILE, what_shapes_records
from gato_data.building.publish import FOLDERS, finished_unit, sidecar_path
from gato_data.errors import UsageError
from gato_data.records.manifest import MANIFEST, RUN_FILE, read_manifest
from gato_data.records.sealed import is_sealed
from gato_data.storage import checksums, files


def was_finished(output: str) -> bool:
    """Whether a build was completed there once, whatever became of it."""
    return files.exists(files.join(output, MANIFEST))


def remove_damaged_files(job: Job) -> list[str]:
    """Finds the damaged files of a finished build of this job, but for its shards.

    Those that the build would take up as they are, it removes: index and plan, from which all else
    follows, and sidecars and offsets, without which a unit counts as not done. Where manifest or
    list are damaged themselves, they are all that can be told of.

    Returns:
      Their names in the output directory.

    Raises:
      OSError: of the file system.
    """
    try:
        manifest = read_manifest(job.output)
    except UsageError:
        return [MANIFEST] if was_finished(job.output) else []
    if not _is_of(job, manifest):
        # It is refused, or made again, as the build of something else.
        return []
    try:
        listed = read_list(job.output, manifest)
    except FilesListError:
        return [manifest["files"]["file"]]
    if listed is None:
        return []
    damaged = [name for name, _ in faults(job.output, listed)]
    removed = {name for name in damaged if name.split("/")[0] in FOLDERS}
    if any(name.startswith("plan/") for name in removed):
        # All of the plan is made in one go.
        removed.add(PLAN_FILE)
    for name in removed:
        _remove(files.join(job.output, name))
    if not _is_run_sound(job.output):
        damaged.append(RUN_FILE)
    return damaged


def _is_of(job: Job, manifest: dict[str, Any]) -> bool:
    """Whether a manifest is that of the same job; what the data sets hold, the plan tells."""
    own = (what_shapes_records(job.config.to_json()), job.limit)
    return own == (what_shapes_records(manifest["config"]), manifest["limit"])


def _is_run_sound(output: str) -> bool:
    try:
        return is_sealed(files.read_bytes(files.join(output, RUN_FILE)))
    except FileNotFoundError:
        return False


def forget_damaged_unit(output: str, unit: int, fingerprint: str) -> bool:
    """Removes the sidecar of a unit whose shard is damaged, so that the unit is to be built again.

    Returns:
      Whether it was damaged.

    Raises:
      OSError: of the file system.
    """
    sidecar = finished_unit(output, unit, fingerprint)
    if sidecar is None:
        return True
    path, stated = files.join(output, sidecar.file), (sidecar.size, sidecar.crc32c)
    # What a second read finds right was the storage's fault and not the shard's.
    if any(checksums.crc32c_of(path) == stated for _ in range(2)):
        return False
    _remove(sidecar_path(output, unit))
    return True


def _remove(path: str) -> None:
    if files.exists(path):
        files.remove(path)
