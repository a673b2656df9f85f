"""The index: one row for each episode or record, one Parquet file for each input file.

It reads what can be known before the build: where an episode lies, its task, agent, return and
place in the order of collection, how many tokens it has, and whether all its values have tokens;
of the records of a corpus how much text and how many image tokens they have.
"""

import contextlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from gato_data.building import corpus_facts, episode_facts
from gato_data.building.contexts import Context
from gato_data.building.corpus_context import CorpusContext
from gato_data.errors import ContentError, UsageError
from gato_data.masking import masked
from gato_data.readers.corpora.compressed import DAMAGED
from gato_data.readers.source import StoredRecord
from gato_data.storage import files
from gato_data.storage.at_once import REQUESTS, at_once

# Changes whenever rows of the same episode would differ, so that an older index is not taken up.
INDEX_VERSION = 5

_KEY = b"gato_data.index"
# Bytes of the action values of one row group, about: they are read group by group.
_GROUP_BYTES = 16 << 20
_EPISODES_READ = 256
# Columns that grow with more than the episodes.
_EXTREMES = ("low", "high")
_STREAMED = ("actions", *_EXTREMES)
# Texts that are the same for many episodes.
_FEW = ["task", "agent"]
_FILES_JOINED = 256
# Bytes of strings that an array with offsets of 32 bits may have.
_LARGEST_OFFSET = (1 << 31) - 1

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
        ("text_tokens", pa.int64()),
        ("action_tokens", pa.int64()),
        ("target_tokens", pa.int64()),
        ("lead_tokens", pa.int64()),
        ("text_changes", pa.bool_()),
        ("return", pa.float64()),
        ("success", pa.bool_()),
        ("low", pa.list_(pa.float64())),
        ("high", pa.list_(pa.float64())),
        ("actions", pa.large_list(pa.float32())),
        ("text_bytes", pa.list_(pa.int64())),
        ("sampled_tokens", pa.list_(pa.int64())),
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


def index_file(context: Context, name: str) -> IndexedFile:
    """Indexes one input file, or takes up the index that is there already.

    Raises:
      OSError: reading or writing failed.
    """
    target = index_path(context.job.output, context.dataset.name, name)
    size = context.source.size(name)
    done = read_summary(target, index_key(context, name, size))
    written = context.source.written(name)
    if done and not done.faults and files.is_dated(target, written):
        return done
    rows, digest = _read_rows(context, name)
    if any(fault is not None for fault in rows["fault"]):
        # Only what a second read finds again is the data's fault and not the storage's.
        rows, digest = _read_rows(context, name)
    faults = sum(fault is not None for fault in rows["fault"])
    summary = IndexedFile(name, size, digest, len(rows["fault"]) - faults, faults)
    table = pa.table(rows, schema=INDEX_SCHEMA.with_metadata(summary_metadata(context, summary)))
    files.publish(target, lambda sink: pq.write_table(table, sink, row_group_size=_group(table)))
    files.date(target, written)
    return summary


def is_current(context: Context, name: str) -> bool:
    """Whether the index of an input file was made of the file as it was written last.

    Raises:
      OSError: there is no such index, or its time cannot be had.
    """
    target = index_path(context.job.output, context.dataset.name, name)
    return files.is_dated(target, context.source.written(name))


def summary_metadata(context: Context, summary: IndexedFile) -> dict[bytes, bytes]:
    """What an index file says of itself: what it was made of, and the sums of its rows."""
    key = index_key(context, summary.name, summary.size)
    return {_KEY: json.dumps({"key": key, "summary": vars(summary)}).encode()}


def _group(table: pa.Table) -> int | None:
    """Rows that are written, and read again, at once; None where all may be."""
    size = table["actions"].nbytes
    return max(1, len(table) * _GROUP_BYTES // size) if size > _GROUP_BYTES else None


def _read_rows(context: Context, name: str) -> tuple[dict[str, list[Any]], str]:
    """The rows of a file as columns, and a digest of its records."""
    found: list[dict[str, Any]] = []
    hasher = xxhash.xxh3_128()
    facts = _facts_of(context)
    for record in context.source.scan(name, context.job.config.limits.record_bytes):
        hasher.update(b"%d %d %d;" % (record.offset, record.size, record.crc))
        found.append(_row(facts, name, record))
    _doubt(found)
    rows = {column: [row.get(column) for row in found] for column in INDEX_SCHEMA.names}
    _add_missing(rows, name, context.source.stated(name))
    return rows, hasher.hexdigest()


def _doubt(rows: Sequence[dict[str, Any]]) -> None:
    """Refuses all records of a packed file that proves damaged: any of them may be altered."""
    faults = (row["fault"] for row in rows if row["fault"] is not None)
    damage = next((fault for fault in faults if DAMAGED in fault), None)
    if damage is None:
        return
    for row in rows:
        if row["fault"] is None:
            row["fault"] = f"it may be altered, as {damage[damage.index(DAMAGED) :]}"


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


def index_key(context: Context, name: str, size: int) -> str:
    """Names everything that the rows of a file depend on."""
    dataset, config = context.dataset, context.job.config
    parts = {
        "version": INDEX_VERSION,
        "kind": dataset.kind,
        "file": name,
        "size": size,
        "path": dataset.path or dataset.tfds,
        "stated": context.source.stated(name),
        "length": config.sequence.length,
        "record_bytes": config.limits.record_bytes,
    }
    if isinstance(context, CorpusContext):
        parts |= corpus_facts.index_parts(context)
    else:
        parts |= episode_facts.index_parts(context)
    return masked(json.dumps(parts, sort_keys=True))


def read_summary(path: str, key: str) -> IndexedFile | None:
    """The summary of a finished index file, if it is there and was made of the same things."""
    try:
        with files.open_read(path) as file:
            metadata = pq.read_schema(file).metadata or {}
        stored = json.loads(metadata[_KEY])
        return IndexedFile(**stored["summary"]) if stored["key"] == key else None
    except (FileNotFoundError, KeyError, TypeError, ValueError, pa.ArrowException):
        return None
    except OSError as error:
        # The system numbers its errors; pyarrow calls damage an OSError, too.
        if error.errno is not None:
            raise
        return None


def read_index(
    output: str, dataset: str, names: Sequence[str], columns: Sequence[str] | None = None
) -> pa.Table:
    """All rows of a data set, in the order of its files and records; each column is one array.

    Values of actions grow with the steps and not with the episodes, and extremes with the
    dimensions; so they are left out, and `read_actions` and `read_extremes` go through them.

    Args:
      columns: those that are wanted; all others by default.
    """
    wanted = [x for x in columns or INDEX_SCHEMA.names if x not in _STREAMED]
    tables = []
    for first in range(0, len(names), _FILES_JOINED):
        some = names[first : first + _FILES_JOINED]
        read = list(at_once(lambda name: _read_file(output, dataset, name, wanted), some, output))
        # Many small arrays take more than their content.
        tables.append(pa.concat_tables(read).combine_chunks())
    return _joined(tables) if tables else INDEX_SCHEMA.empty_table().select(wanted)


def _read_file(output: str, dataset: str, name: str, columns: Sequence[str]) -> pa.Table:
    with _open(index_path(output, dataset, name)) as file:
        # Not `read_table`, of which a thread may still hold the file when Python ends.
        table = pq.ParquetFile(file, read_dictionary=_FEW).read(columns=list(columns))
    return table.replace_schema_metadata(None)


def _joined(tables: list[pa.Table]) -> pa.Table:
    """Tables as one, a column at a time, so that only one of them is there twice."""
    names = tables[0].schema.names
    chunked = pa.concat_tables(tables)
    parts: dict[str, pa.ChunkedArray | None] = {name: chunked[name] for name in names}
    tables.clear()
    del chunked
    for name in names:
        column = parts[name]
        parts[name] = None
        assert column is not None
        if column.nbytes > _LARGEST_OFFSET and pa.types.is_string(column.type):
            column = column.cast(pa.large_string())
        parts[name] = pa.chunked_array([column.combine_chunks()])
    return pa.table(parts)


def read_extremes(output: str, dataset: str, names: Sequence[str]) -> Iterator[pa.Table]:
    """The extremes of the values of each episode, a file at a time: columns `low` and `high`."""
    for first in range(0, len(names), REQUESTS):
        some = names[first : first + REQUESTS]
        yield from at_once(lambda name: _read_file(output, dataset, name, _EXTREMES), some, output)


def read_actions(output: str, dataset: str, name: str) -> Iterator[pa.LargeListArray]:
    """The action values of the rows of one input file, some episodes at a time; null for none."""
    with _open(index_path(output, dataset, name)) as file:
        parquet = pq.ParquetFile(file)
        # Each group by itself: iterating over all of them, pyarrow keeps what it has read.
        for group in range(parquet.num_row_groups):
            for batch in parquet.iter_batches(_EPISODES_READ, [group], columns=["actions"]):
                yield batch["actions"]


@contextlib.contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """An index file, of which damage is told.

    Raises:
      UsageError: it is damaged.
    """
    try:
        with files.open_read(path) as file:
            yield file
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UsageError(
            f"{path}: damaged ({error}). Delete it and run the same command again."
        ) from None


Facts = Callable[[Any, str], dict[str, Any]]


def _facts_of(context: Context) -> Facts:
    """Says what the index keeps of a record's content, for the records of one file in order."""
    if isinstance(context, CorpusContext):
        return corpus_facts.CorpusFacts(context)
    return lambda content, _: episode_facts.episode_facts(context, context.source.parse(content))


def _row(facts: Facts, name: str, record: StoredRecord) -> dict[str, Any]:
    row: dict[str, Any] = {
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
            row |= facts(record.content, row["episode_id"])
        except ContentError as error:
            row["fault"] = str(error)
    return row
