"""Sample files: what was kept of the sentences of one input file, in the seeded order.

They are Parquet files beside the model that is to be made, and are deleted when it is. A run that
stopped is taken up from them.
"""

import dataclasses
import json
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from gato_data.storage import files
from pipelines.sentence_sample import DIGEST_BYTES, SentenceSample

# Changes whenever the sample of the same file would differ, so that an older one is not taken up.
_VERSION = 1
_KEY = b"gato_data.sentences"
_SCHEMA = pa.schema(
    [
        ("digest", pa.binary(DIGEST_BYTES)),
        ("sentence", pa.large_string()),
        ("copies", pa.int64()),
    ]
)
# Sentences that are written, and read again, at once: of the usual length some 100 kB.
_GROUP = 4096


@dataclass(frozen=True)
class SampledFile:
    """What sampling one input file found.

    Attributes:
      records: records, unusable ones included.
      faults: those that cannot be used.
      reasons: of the first of them.
      sentences, bytes: of all that can be used.
      room: bytes of distinct sentences that could be kept.
      end: digest before which all sentences were kept, in hexadecimal; None: all there are.
    """

    records: int
    faults: int
    reasons: tuple[str, ...]
    sentences: int
    bytes: int
    room: int
    end: str | None


def write_sample(path: str, key: str, found: SampledFile, sample: SentenceSample) -> None:
    """Publishes a sample file.

    Args:
      path: of the file.
      key: names everything that the sample depends on.
      found: its summary.
      sample: the sentences.
    """
    stored = {"key": _versioned(key), "summary": dataclasses.asdict(found)}
    schema = _SCHEMA.with_metadata({_KEY: json.dumps(stored)})
    columns = [list(column) for column in zip(*sample.sentences, strict=True)] or [[], [], []]
    table = pa.table([pa.array(x, y.type) for x, y in zip(columns, _SCHEMA, strict=True)], schema)
    files.publish(
        path, lambda sink: pq.write_table(table, sink, row_group_size=_GROUP, compression="zstd")
    )


def _versioned(key: str) -> str:
    return f"{_VERSION} {key}"


def read_summary(path: str, key: str) -> SampledFile | None:
    """The summary of a finished sample file, if it is there and was made of the same things."""
    try:
        with files.open_read(path) as file:
            metadata = pq.read_schema(file).metadata or {}
        stored = json.loads(metadata[_KEY])
        summary = stored["summary"] | {"reasons": tuple(stored["summary"]["reasons"])}
        return SampledFile(**summary) if stored["key"] == _versioned(key) else None
    except (FileNotFoundError, KeyError, TypeError, ValueError, pa.ArrowInvalid):
        return None


def read_into(sample: SentenceSample, path: str) -> None:
    """Adds a sample file's sentences to a sample, as far as that has room for them."""
    with files.open_read(path) as file:
        stored = pq.ParquetFile(file)
        for group in range(stored.num_row_groups):
            columns = stored.read_row_group(group, use_threads=False).to_pydict().values()
            for digest, sentence, copies in zip(*columns, strict=True):
                if sample.is_beyond(digest):
                    return  # as is all that comes after
                sample.keep(sentence, copies)
