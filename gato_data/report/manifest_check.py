"""Derives the manifest anew from plan and units, and compares."""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.building.context import Job
from gato_data.building.manifest import MANIFEST, SHARDS_SCHEMA, describe_build
from gato_data.building.plan import PLAN_VERSION, Plan
from gato_data.building.publish import Sidecar
from gato_data.building.steps import PLAN_FILE, stored_plan
from gato_data.config import config_from_json
from gato_data.errors import UsageError
from gato_data.storage import files

SHARDS_FILE = "shards.parquet"


class MissingPlanError(Exception):
    """Plan or sidecars are too damaged to derive a manifest from."""


def shard_table(directory: str) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of `shards.parquet` as far as they can be read, and what is wrong with the file."""
    path = files.join(directory, SHARDS_FILE)
    try:
        data = files.read_bytes(path)
        table = pq.read_table(io.BytesIO(data))
    except FileNotFoundError:
        return [], [f"{SHARDS_FILE}: missing."]
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        return [], [f"{SHARDS_FILE}: damaged: {error!s:.200}."]
    if table.schema.remove_metadata() != SHARDS_SCHEMA:
        return [], [f"{SHARDS_FILE}: its columns are {table.schema.names}."]
    try:
        rows = table.to_pylist()
    except UnicodeDecodeError:
        return [], [f"{SHARDS_FILE}: damaged: a text is not UTF-8."]
    # Parquet has no checksum; but the same pyarrow writes the same rows as the same bytes.
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=SHARDS_SCHEMA), sink)
    if pq.read_metadata(io.BytesIO(data)).created_by != pq.read_metadata(sink).created_by:
        return rows, []
    changed = sink.getvalue() != data
    return rows, [f"{SHARDS_FILE}: damaged: other bytes than the build writes."] if changed else []


def derived_manifest(
    directory: str, manifest: dict[str, Any], sidecars: Sequence[Sidecar]
) -> tuple[dict[str, Any], list[str]]:
    """The manifest that the build would write of the stored plan and these units.

    Returns:
      The manifest, and what is wrong with config, plan and quarantine.

    Raises:
      MissingPlanError: there is no plan, or it is damaged.
    """
    plan = stored_plan(directory)
    if plan is None:
        raise MissingPlanError(
            f"{PLAN_FILE}: missing or damaged, so {MANIFEST} cannot be derived anew."
        )
    try:
        config = config_from_json(manifest["config"], f"{MANIFEST}, `config`")
    except UsageError as error:
        raise MissingPlanError(str(error)) from None
    job = Job(config, "", directory, manifest["limit"])
    problems = []
    quarantined = {}
    for dataset in config.datasets:
        lines, wrong = _quarantine(directory, dataset.name, sidecars)
        quarantined[dataset.name] = lines
        problems += wrong
    try:
        expected = describe_build(job, plan, sidecars, quarantined, None)
        if plan.request not in _requests(manifest, plan):
            problems.append(
                f"{MANIFEST}: `config`, `limit` or `vocabulary.text_model` is not what "
                f"{PLAN_FILE} was made for."
            )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MissingPlanError(
            f"{PLAN_FILE} or a file of _units/ is damaged ({error!r:.100})."
        ) from None
    # The plan does not hold them, but its request does; the release is nobody else's to say.
    expected["vocabulary"]["text_model"] = manifest["vocabulary"]["text_model"]
    expected["gato_data"] = manifest["gato_data"]
    return expected, problems


def _requests(manifest: Mapping[str, Any], plan: Plan) -> Iterator[str]:
    """The digest of what was asked for (`plan.request_digest`), by every version of plans."""
    model = manifest["vocabulary"]["text_model"]
    parts = {
        "config": manifest["config"],
        "limit": manifest["limit"],
        "inputs": {
            name: [[file["file"], file["size"]] for file in found]
            for name, found in plan.inputs.items()
        },
        "layouts": plan.layouts,
        "text": model["sha256"] if model else None,
        "versions": plan.versions,
    }
    for version in range(1, PLAN_VERSION + 1):
        encoded = json.dumps(parts | {"version": version}, sort_keys=True).encode()
        yield hashlib.sha256(encoded).hexdigest()


def _quarantine(directory: str, dataset: str, sidecars: Sequence[Sidecar]) -> tuple[int, list[str]]:
    """How many records are listed, and which that the units found are not."""
    name = f"quarantine/{dataset}.jsonl"
    try:
        rows = [
            json.loads(line) for line in files.read_bytes(files.join(directory, name)).splitlines()
        ]
    except FileNotFoundError:
        return 0, [f"{name}: missing."]
    except ValueError:
        return 0, [f"{name}: damaged."]
    unlisted = [
        row for x in sidecars if x.dataset == dataset for row in x.quarantined if row not in rows
    ]
    problems = [f"{name}: a unit found more: {row}." for row in unlisted[:1]]
    return len(rows), problems


def differences(found: Any, expected: Any, place: str = "") -> Iterator[str]:
    """Where the manifest is not what it should be, one sentence for each value."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for key in sorted(found.keys() | expected.keys()):
            inner = f"{place}.{key}" if place else str(key)
            if key not in expected:
                yield f"{MANIFEST}: {inner} does not belong there."
            elif key not in found:
                yield f"{MANIFEST}: {inner} is missing."
            else:
                yield from differences(found[key], expected[key], inner)
    elif isinstance(found, list) and isinstance(expected, list) and len(found) == len(expected):
        for number, (one, other) in enumerate(zip(found, expected, strict=True)):
            yield from differences(one, other, f"{place}.{number}")
    elif json.dumps(found) != json.dumps(expected):
        yield (
            f"{MANIFEST}: {place} is {json.dumps(found):.200}; by plan and units it is "
            f"{json.dumps(expected):.200}."
        )
