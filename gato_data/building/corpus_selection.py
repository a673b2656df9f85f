"""Which records of a corpus are kept, in which split: all that can be used, but for a pilot."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from gato_data.building.columns import Rows, texts_of
from gato_data.building.corpus_context import CorpusContext
from gato_data.building.duplicates import DUPLICATE, duplicate_warnings, find_duplicates
from gato_data.building.selection import (
    KEPT,
    TRAIN,
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
    usable = np.flatnonzero(index["fault"].is_null().to_numpy())
    if not len(usable):
        raise UsageError(f"{context.where}: {context.source.directory} holds no usable record.")
    advice = (
        "Give `fields: {id: …}` a field that names each record once, or remove it to use file name "
        "and record number."
    )
    repeated = find_duplicates(context, index, usable, advice)
    usable = np.setdiff1d(usable, list(repeated))
    _check_pairs(context, index, usable)
    reasons, splits = np.full(len(index), UNUSABLE, object), np.full(len(index), TRAIN, object)
    reasons[usable] = KEPT
    reasons[list(repeated)] = DUPLICATE
    limit(reasons, index["episode_id"], context.job, dataset.name)
    if dataset.validation:
        ids = texts_of(index["episode_id"], np.arange(len(index)))
        splits[:] = [split_of(dataset, seed, name) for name in ids]
    # No returns, and no rule: every record is kept.
    nothing = task_returns(np.full(len(usable), np.nan), None)
    return Selection(
        dataset.name,
        index,
        reasons,
        splits,
        {"": nothing},
        (*duplicate_warnings(context, index, repeated),),
    )


def _check_pairs(context: CorpusContext, index: pa.Table, usable: Rows) -> None:
    """Refuses an id that is also the name of a pair: a record's id and a caption's number."""
    counts = pc.list_value_length(index["text_bytes"]).to_numpy()[usable]
    several = usable[counts != 1]
    if not len(several):
        return
    known = set(texts_of(index["episode_id"], np.arange(len(index))))
    found = zip(texts_of(index["episode_id"], several), counts[counts != 1], strict=True)
    for record, count in found:
        names = (f"{record}/{number}" for number in range(int(count)))
        twice = next((name for name in names if name in known), None)
        if twice:
            raise UsageError(
                f"{context.where}: '{twice}' is the id of a record, and the name of a pair of the "
                f"record '{record}', which has {int(count)} texts. Give `fields: {{id: …}}` "
                "another field, or remove it to use file name and record number."
            )
