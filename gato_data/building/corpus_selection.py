"""Which records of a corpus are kept, in which split: all that can be used, but for a pilot."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gato_data.building.corpus_context import CorpusContext
from gato_data.building.selection import (
    KEPT,
    UNUSABLE,
    Selection,
    limit,
    split_of,
)
from gato_data.errors import UsageError
from gato_data.expert_return import task_returns


def select_records(context: CorpusContext, index: pa.Table) -> Selection:
    """Applies the limit and the split; corpora have no returns to filter by.

    Raises:
      UsageError: an id stands twice, or no record can be used.
    """
    dataset, seed = context.dataset, context.job.config.seed
    ids = index["episode_id"].to_pylist()
    reasons = [KEPT if fault is None else UNUSABLE for fault in index["fault"].to_pylist()]
    usable = [row for row, reason in enumerate(reasons) if reason == KEPT]
    if not usable:
        raise UsageError(f"{context.where}: {context.source.directory} holds no usable record.")
    _check_ids(context, index, ids, usable)
    _check_pairs(context, index, ids, usable)
    limit(reasons, ids, context.job, dataset.name)
    splits = [split_of(dataset, seed, name) for name in ids]
    # No returns, and no rule: every record is kept.
    nothing = task_returns(np.full(len(usable), np.nan), None)
    return Selection(dataset.name, index, reasons, splits, {"": nothing}, ())


def _check_pairs(
    context: CorpusContext, index: pa.Table, ids: Sequence[str], usable: Sequence[int]
) -> None:
    """Refuses an id that is also the name of a pair: a record's id and a caption's number."""
    counts, known = pc.list_value_length(index["text_bytes"]).to_pylist(), set(ids)
    for row in usable:
        if counts[row] == 1:
            continue
        names = (f"{ids[row]}/{number}" for number in range(counts[row]))
        twice = next((name for name in names if name in known), None)
        if twice:
            raise UsageError(
                f"{context.where}: '{twice}' is the id of a record, and the name of a pair of the "
                f"record '{ids[row]}', which has {counts[row]} texts. Give `fields: {{id: …}}` "
                "another field, or remove it to use file name and record number."
            )


def _check_ids(
    context: CorpusContext, index: pa.Table, ids: Sequence[str], usable: Sequence[int]
) -> None:
    counts = Counter(ids[row] for row in usable)
    repeated = [name for name, count in counts.items() if count > 1]
    if not repeated:
        return
    files, records = index["file"].to_pylist(), index["record"].to_pylist()
    rows = [row for row in usable if ids[row] == repeated[0]][:2]
    places = " and ".join(f"{files[row]} record {records[row]}" for row in rows)
    raise UsageError(
        f"{context.where}: {len(repeated)} ids stand more than once, such as {repeated[0]!r} in "
        f"{places}. Give `fields: {{id: …}}` a field that names each record once, or remove it to "
        "use file name and record number."
    )
