"""The index: one row for each episode, one Parquet file for each input file.

It reads what can be known before the build: where an episode lies, its task, agent, return and
place in the order of collection, how many tokens it has, and whether all its values have tokens.
"""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from gato_data.building.context import DatasetContext
from gato_data.errors import ContentError, UsageError
from gato_data.readers.source import Record, StoredRecord
from gato_data.sequencing.episode import Field
from gato_data.sequencing.tokens import TokenisedEpisode
from gato_data.storage import files
from gato_data.vocabulary import DISCRETE_SIZE, Modality

# Changes whenever rows of the same episode would differ, so that an older index is not taken up.
INDEX_VERSION = 2

_KEY = b"gato_data.index"

INDEX_SCHEMA = pa.schema(
    [
        ("file", pa.dictionary(pa.int32(), pa.string())),
        ("record", pa.int64()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("crc", pa.uint32()),
        ("episode_id", pa.string()),
        ("task", pa.string()),
        ("agent", pa.string()),
        ("order_integer", pa.int64()),
        ("order_number", pa.float64()),
        ("order_text", pa.string()),
        ("steps", pa.int64()),
        ("tokens", pa.int64()),
        ("image_tokens", pa.int64()),
        ("return", pa.float64()),
        ("low", pa.list_(pa.float64())),
        ("high", pa.list_(pa.float64())),
        ("fault", pa.string()),
    ]
)


@dataclass(frozen=True)
class IndexedFile:
    """What indexing one input file found.

    Attributes:
      name: of the input file.
      size: in bytes.
      digest: of all its records, damaged ones included.
      episodes: usable ones.
      faults: records that cannot be used.
    """

    name: str
    size: int
    digest: str
    episodes: int
    faults: int


def index_path(output: str, dataset: str, file_name: str) -> str:
    return files.join(output, "index", dataset, f"{file_name}.parquet")


def index_file(context: DatasetContext, name: str) -> IndexedFile:
    """Indexes one input file, or takes up the index that is there already.

    Raises:
      OSError: reading or writing failed.
    """
    target = index_path(context.job.output, context.dataset.name, name)
    size = files.size_of(context.source.path(name))
    done = read_summary(target, index_key(context, name, size))
    if done and not done.faults and files.is_newer(target, context.source.path(name)):
        return done
    rows, digest = _read_rows(context, name)
    if any(fault is not None for fault in rows["fault"]):
        # Only what a second read finds again is the data's fault and not the storage's.
        rows, digest = _read_rows(context, name)
    faults = sum(fault is not None for fault in rows["fault"])
    summary = IndexedFile(name, size, digest, len(rows["fault"]) - faults, faults)
    metadata = {_KEY: json.dumps({"key": index_key(context, name, size), "summary": vars(summary)})}
    table = pa.table(rows, schema=INDEX_SCHEMA.with_metadata(metadata))
    files.publish(target, lambda sink: pq.write_table(table, sink))
    return summary


def _read_rows(context: DatasetContext, name: str) -> tuple[dict[str, list[Any]], str]:
    """The rows of a file as columns, and a digest of its records."""
    rows: dict[str, list[Any]] = {column: [] for column in INDEX_SCHEMA.names}
    hasher = xxhash.xxh3_128()
    for record in context.source.scan(name, context.job.config.limits.record_bytes):
        hasher.update(b"%d %d %d;" % (record.offset, record.size, record.crc))
        for column, value in _row(context, name, record).items():
            rows[column].append(value)
    _add_missing(rows, name, context.source.stated(name))
    return rows, hasher.hexdigest()


def _add_missing(rows: dict[str, list[Any]], name: str, stated: int) -> None:
    """A row for each record that should be in the file and is not: nothing vanishes in silence."""
    held = len(rows["record"])
    offset = rows["offset"][-1] + rows["size"][-1] if held else 0
    for record in range(held, stated):
        rest = {
            "file": name,
            "record": record,
            "offset": offset,
            "size": 0,
            "episode_id": f"{name}#{record}",
            "fault": f"dataset_info.json states {stated} records, but the file has {held}",
        }
        for column in INDEX_SCHEMA.names:
            rows[column].append(rest.get(column))


def index_key(context: DatasetContext, name: str, size: int) -> str:
    """Names everything that the rows of a file depend on."""
    dataset, config = context.dataset, context.job.config
    parts = {
        "version": INDEX_VERSION,
        "file": name,
        "size": size,
        "path": dataset.path or dataset.tfds,
        "stated": context.source.stated(name),
        "layout": context.layout.to_json(),
        "text": context.text.digest if context.text and context.layout.has_text else None,
        "length": config.sequence.length,
        "discrete_offset": config.vocabulary.discrete_offset,
        "record_bytes": config.limits.record_bytes,
        "last_step": dataset.last_step,
        "task": vars(dataset.task) if dataset.task else dataset.name,
        "agent": vars(dataset.agent) if dataset.agent else None,
        "episode_id": dataset.episode_id,
        "order_by": dataset.filter.order_by if dataset.filter else None,
    }
    return json.dumps(parts, sort_keys=True)


def read_summary(path: str, key: str) -> IndexedFile | None:
    """The summary of a finished index file, if it is there and was made of the same things."""
    try:
        with files.open_read(path) as file:
            metadata = pq.read_schema(file).metadata or {}
        stored = json.loads(metadata[_KEY])
        return IndexedFile(**stored["summary"]) if stored["key"] == key else None
    except (FileNotFoundError, KeyError, TypeError, ValueError, pa.ArrowInvalid):
        return None


def read_index(output: str, dataset: str, names: Iterator[str] | list[str]) -> pa.Table:
    """All rows of a data set, in the order of its files and records."""
    tables = []
    for name in names:
        path = index_path(output, dataset, name)
        try:
            with files.open_read(path) as file:
                tables.append(pq.read_table(file).replace_schema_metadata(None))
        except (pa.ArrowException, OSError) as error:
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise UsageError(
                f"{path}: damaged ({error}). Delete it and run the same command again."
            ) from None
    return pa.concat_tables(tables) if tables else INDEX_SCHEMA.empty_table()


def _row(context: DatasetContext, name: str, record: StoredRecord) -> dict[str, Any]:
    row: dict[str, Any] = dict.fromkeys(INDEX_SCHEMA.names)
    row |= {
        "file": name,
        "record": record.number,
        "offset": record.offset,
        "size": record.size,
        "crc": record.crc,
        "episode_id": f"{name}#{record.number}",
        "fault": record.fault,
    }
    if record.fault is None:
        try:
            row |= _facts(context, context.source.parse(record.content))
        except ContentError as error:
            row["fault"] = str(error)
    return row


def _facts(context: DatasetContext, record: Record) -> dict[str, Any]:
    """What the index keeps of a usable episode.

    Raises:
      ContentError: the episode cannot be used.
    """
    tokenised = context.tokenise_record(record)
    for field in tokenised.layout.fields:
        if field.modality == Modality.IMAGE:
            tokenised.episode.columns[field.path].check_sizes()  # type: ignore[union-attr]
    lows, highs = _ranges(tokenised)
    facts: dict[str, Any] = {
        "task": context.task(record),
        "agent": context.agent(record),
        "steps": tokenised.episode.steps,
        "tokens": tokenised.steps.tokens,
        "image_tokens": tokenised.image_tokens,
        "return": _return(context, record, tokenised.episode.steps),
        "low": lows,
        "high": highs,
    }
    if context.dataset.episode_id:
        leaf = context.metadata_leaf("episode_id", context.dataset.episode_id)
        facts["episode_id"] = str(record.scalar(leaf))
    if context.dataset.filter and context.dataset.filter.order_by:
        leaf = context.metadata_leaf("filter.order_by", context.dataset.filter.order_by)
        value = record.scalar(leaf)
        if isinstance(value, float) and not math.isfinite(value):
            raise ContentError(f"{leaf.path}: {value} gives no place in the order of collection")
        kinds = {str: "order_text", int: "order_integer", float: "order_number"}
        facts[kinds[type(value)]] = value
    return facts


def _return(context: DatasetContext, record: Record, steps: int) -> float | None:
    """Undiscounted return over the valid steps, exactly rounded; None without rewards."""
    leaf = context.reward_leaf
    if leaf is None:
        return None
    values = record.values(leaf)[:steps]
    if len(values) < steps:
        raise ContentError(f"{leaf.path}: {len(values)} rewards for {steps} steps")
    total = math.fsum(values.tolist()) if np.isfinite(values).all() else math.nan
    if not math.isfinite(total):
        raise ContentError(f"{leaf.path}: a reward is NaN or infinite")
    return total


def range_fields(fields: tuple[Field, ...]) -> list[Field]:
    """The fields whose ranges the index keeps, in the order of its lists."""
    return [f for f in fields if f.modality in (Modality.CONTINUOUS, Modality.DISCRETE)]


def _ranges(tokenised: TokenisedEpisode) -> tuple[list[float], list[float]]:
    """Smallest and largest value of each number key.

    Raises:
      ContentError: a value has no token; names the key and the step.
    """
    lows, highs = [], []
    for field in range_fields(tokenised.layout.fields):
        values = tokenised.episode.columns[field.path]
        assert isinstance(values, np.ndarray)
        if not values.size:
            lows.append(math.nan)
            highs.append(math.nan)
            continue
        low, high = float(values.min()), float(values.max())
        if field.modality == Modality.DISCRETE:
            usable = low >= 0 and high < DISCRETE_SIZE
        else:
            usable = math.isfinite(low) and math.isfinite(high)
        if not usable:
            tokenised.check(field)
        lows.append(low)
        highs.append(high)
    return lows, highs
