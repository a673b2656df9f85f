"""Batches of sequences for the tests of the records: arbitrary values, every field filled."""

import numpy as np
from hypothesis import strategies as st

from gato_data.sequencing.sequences import (
    PATCH_FIELDS,
    SCALAR_FIELDS,
    TEXT_FIELDS,
    TOKEN_FIELDS,
    TokenSequences,
)


def random_batch(counts, length, token_dtype=np.uint16, seed=0):
    """`len(counts)` sequences, the i-th with counts[i] image tokens; values of the whole range."""
    generator = np.random.default_rng(seed)
    dtypes = TOKEN_FIELDS | {"tokens": np.dtype(token_dtype)}
    n, rows = len(counts), sum(counts)

    def draw(dtype, *shape):
        info = np.iinfo(dtype)
        return generator.integers(info.min, info.max, shape, dtype, endpoint=True)

    return TokenSequences(
        fields={name: draw(dtype, n, length) for name, dtype in dtypes.items()},
        patch_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        patch_fields={name: draw(np.uint8, rows, width) for name, width in PATCH_FIELDS.items()},
        scalars={name: draw(dtype, n) for name, dtype in SCALAR_FIELDS.items()},
        texts={name: [f"{name} {i} ä" if i % 3 else "" for i in range(n)] for name in TEXT_FIELDS},
    )


@st.composite
def batches(draw, min_size=0, token_dtypes=(np.uint16, np.uint32)):
    """Batches of up to five short sequences with any texts and edge values."""
    length = draw(st.integers(1, 9))
    counts = draw(st.lists(st.integers(0, length), min_size=min_size, max_size=5))
    dtype = draw(st.sampled_from(token_dtypes))
    batch = random_batch(counts, length, dtype, draw(st.integers(0, 2**32)))
    n = len(counts)
    for name, scalar in SCALAR_FIELDS.items():
        bounds = np.iinfo(scalar)
        values = st.one_of(st.integers(-1, 2048), st.integers(int(bounds.min), int(bounds.max)))
        batch.scalars[name][:] = draw(st.lists(values, min_size=n, max_size=n))
    # Lone surrogates are no text: they have no UTF-8.
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=5) | st.just("x" * 200)
    for name in TEXT_FIELDS:
        batch.texts[name][:] = draw(st.lists(texts, min_size=n, max_size=n))
    return batch


def shape_of(batch):
    """Length and token dtype, as writers want them."""
    return batch.fields["tokens"].shape[1], batch.fields["tokens"].dtype


def concatenate(batches):
    batches = list(batches)
    offsets = [batch.patch_offsets for batch in batches]
    counts = np.concatenate([np.diff(each) for each in offsets])
    first = batches[0]
    return TokenSequences(
        {k: np.concatenate([b.fields[k] for b in batches]) for k in first.fields},
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        {k: np.concatenate([b.patch_fields[k] for b in batches]) for k in first.patch_fields},
        {k: np.concatenate([b.scalars[k] for b in batches]) for k in first.scalars},
        {k: [text for b in batches for text in b.texts[k]] for k in first.texts},
    )


def assert_same(found, expected):
    """Equal in every value, dtype and shape."""
    assert list(found.patch_offsets) == list(expected.patch_offsets)
    for group in ("fields", "patch_fields", "scalars"):
        for name, values in getattr(expected, group).items():
            np.testing.assert_array_equal(getattr(found, group)[name], values, name, strict=True)
    assert {k: list(v) for k, v in found.texts.items()} == expected.texts
