"""Derives the manifest anew from plan and units, and compares."""

import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.building.context import Job
from gato_data.building.manifest import SHARDS_SCHEMA, describe_build
from gato_data.building.plan import PLAN_FILE
from gato_data.building.publish import Sidecar
from gato_data.building.steps import stored_plan
from gato_data.config import config_from_json
from gato_data.errors import UsageError
from gato_data.records.manifest import MANIFEST, SHARDS_FILE
from gato_data.storage import files


class MissingPlanError(Exception):
    """Plan or sidecars are too damaged to derive a manifest from."""


def shard_table(
    directory: str, manifest: dict[str, Any]
) -> tuple[list[dict[str, Any]] | None, list[str]]:
    """The rows of `shards.parquet`, None where it cannot be read, and what is wrong with it."""
    path = files.join(directory, SHARDS_FILE)
    try:
        data = files.read_bytes(path)
    except FileNotFoundError:
        return None, [f"{SHARDS_FILE}: missing."]
    try:
        table = pq.ParquetFile(io.BytesIO(data)).read().replace_schema_metadata(None)
        if table.schema != SHARDS_SCHEMA:
            return None, [f"{SHARDS_FILE}: its columns are {table.schema.names}."]
        rows = table.to_pylist()
    except (pa.ArrowException, OSError, ValueError) as error:
        return None, [f"{SHARDS_FILE}: damaged: {str(error).strip():.200}"]
    # Parquet has no checksum; but the same pyarrow writes the same rows as the same bytes.
    if manifest["versions"].get("pyarrow") == pa.__version__:
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=SHARDS_SCHEMA), sink)
        if sink.getvalue() != data:
            return rows, [f"{SHARDS_FILE}: damaged: not the bytes that the build writes."]
    return rows, []


def derived_manifest(
    directory: str, manifest: dict[str, Any], sidecars: Sequence[Sidecar]
) -> tuple[dict[str, Any], list[str]]:
    """The manifest that the build would write of the stored plan and these units.

    Returns:
      The manifest, and what is wrong with config, plan and quarantine.

    Raises:
      MissingPlanError: there is no plan, or it is damaged.
    """
    try:
        plan = stored_plan(directory)
    except UsageError:
        plan = None
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
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise MissingPlanError(
            f"{PLAN_FILE} or a file of _units/ is damaged ({error!r:.100})."
        ) from None
    # Neither plan nor units say these; the manifest's checksum holds them. Of an older release, the
    # config lacks what has a default since.
    expected["vocabulary"]["text_model"] = manifest["vocabulary"]["text_model"]
    for key in ("gato_data", "checksum", "files", "config"):
        if key in manifest:
            expected[key] = manifest[key]
    return expected, problems


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
