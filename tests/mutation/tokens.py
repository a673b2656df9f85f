"""Mistakes in numbers and texts: bins, companding, ranges, ids."""

from tests.mutation.mutant import Mutant

CONTINUOUS = "gato_data/tokenizers/continuous.py"
DISCRETE = "gato_data/tokenizers/discrete.py"
VOCABULARY = "gato_data/vocabulary.py"
CONFIG = "gato_data/config_types.py"
LAYOUT = "gato_data/building/layout.py"
TOKENS = "gato_data/sequencing/tokens.py"
RANGES = "gato_data/sequencing/ranges.py"
TEXT = "gato_data/tokenizers/text.py"

MUTANTS = (
    # Bins.
    Mutant(
        "bin-1024-at-one",
        "continuous-clip",
        CONTINUOUS,
        "np.minimum(out, CONTINUOUS_BINS - 1, out=out)",
        "np.minimum(out, CONTINUOUS_BINS, out=out)",
    ),
    Mutant(
        "bin-minus-one-at-the-lower-edge",
        "continuous-clip",
        CONTINUOUS,
        'np.copyto(out, position, casting="unsafe")  #',
        'np.copyto(out, np.ceil(position) - 1, casting="unsafe")  #',
    ),
    Mutant(
        "actions-not-clipped",
        "continuous-clip",
        CONTINUOUS,
        "np.clip(values, -1, 1, out=position)",
        "np.copyto(position, values)",
    ),
    Mutant(
        "observations-not-clipped",
        "continuous-clip",
        CONTINUOUS,
        "np.minimum(magnitude, _M, out=estimate",
        "np.minimum(magnitude, 1e30, out=estimate",
    ),
    Mutant(
        "nan-has-a-bin",
        "continuous-clip",
        CONTINUOUS,
        "    if not np.abs(values).max() < np.inf:",
        "    if np.abs(values).max() == np.inf:",
    ),
    Mutant(
        "bins-rounded-to-nearest",
        "continuous-bins",
        CONTINUOUS,
        'np.copyto(out, position, casting="unsafe")  #',
        'np.copyto(out, np.rint(position), casting="unsafe")  #',
    ),
    Mutant(
        "bins-closed-above",
        "continuous-bins",
        CONTINUOUS,
        "np.add(out, values >= edge, out=out)",
        "np.add(out, values > edge, out=out)",
    ),
    Mutant(
        "estimate-not-corrected",
        "continuous-bins",
        CONTINUOUS,
        "edge = edges.take(nearest, mode=",
        "edge = np.zeros_like(edges).take(nearest, mode=",
    ),
    Mutant(
        "bins-between-extremes-of-the-call",
        "continuous-bins",
        CONTINUOUS,
        "    np.add(position, 1, out=position)\n",
        "    position /= max(np.abs(position).max(), 1e-9)\n"
        "    np.add(position, 1, out=position)\n",
    ),
    Mutant(
        "arithmetic-in-float32",
        "continuous-bins",
        CONTINUOUS,
        "position = np.empty(values.shape, np.float64)",
        "position = np.empty(values.shape, np.float32)",
    ),
    Mutant(
        "1023-bins",
        "continuous-bins",
        VOCABULARY,
        "CONTINUOUS_BINS = 1024",
        "CONTINUOUS_BINS = 1023",
    ),
    Mutant(
        "argument-changed-in-place",
        "continuous-bins",
        CONTINUOUS,
        "np.clip(values, -1, 1, out=position)",
        "np.clip(values, -1, 1, out=values)\n    np.copyto(position, values)",
    ),
    Mutant(
        "ids-changed-by-decoding",
        "bin-centres",
        CONTINUOUS,
        "bins = ids.astype(np.int64) - CONTINUOUS_START",
        "ids -= CONTINUOUS_START\n    bins = ids.astype(np.int64)",
    ),
    Mutant(
        "decode-to-the-left-edge",
        "bin-centres",
        CONTINUOUS,
        "np.asarray((2 * bins + 1) / CONTINUOUS_BINS - 1)",
        "np.asarray(2 * bins / CONTINUOUS_BINS - 1)",
    ),
    Mutant(
        "decode-observations-to-the-left-edge",
        "bin-centres",
        CONTINUOUS,
        "companding.table().centres[bins]",
        "companding.table().edges[np.maximum(bins, 1)]",
    ),
    Mutant(
        "observations-decoded-without-expanding",
        "bin-centres",
        CONTINUOUS,
        "    if companded:\n",
        "    if False:\n",
    ),
    # Ranges of actions.
    Mutant(
        "actions-clipped-in-silence",
        "action-range",
        CONFIG,
        "    clip: bool = False",
        "    clip: bool = True",
    ),
    Mutant(
        "range-ignored",
        "action-range",
        TOKENS,
        "if field.value_range:",
        "if False:",
    ),
    Mutant(
        "scaled-to-zero-one",
        "action-range",
        RANGES,
        "scaled = 2 * (numbers - low) / np.where(width == 0, 1, width) - 1",
        "scaled = (numbers - low) / np.where(width == 0, 1, width)",
    ),
    Mutant(
        "scaled-back-without-the-low-end",
        "action-range",
        RANGES,
        "return np.asarray(low + (centres + 1) / 2 * width)",
        "return np.asarray((centres + 1) / 2 * width)",
    ),
    # Companding.
    Mutant(
        "mu-law-on-actions",
        "action-bins",
        TOKENS,
        "compand=not field.is_action",
        "compand=True",
    ),
    Mutant(
        "no-mu-law-on-observations",
        "observation-companding",
        TOKENS,
        "compand=not field.is_action",
        "compand=False",
    ),
    Mutant(
        "companding-swapped",
        "observation-companding",
        CONTINUOUS,
        "_encode_observations if compand else _encode_actions",
        "_encode_actions if compand else _encode_observations",
    ),
    Mutant(
        "companded-only-if-outside-one",
        "observation-companding",
        CONTINUOUS,
        "_encode_observations if compand else _encode_actions",
        "_encode_observations if compand and np.max(np.abs(values), initial=0) > 1 "
        "else _encode_actions",
    ),
    Mutant(
        "mu-255-of-wavenet",
        "observation-companding",
        CONTINUOUS,
        "_MU = np.float32(companding.MU)",
        "_MU = np.float32(255)",
    ),
    Mutant(
        "m-of-one",
        "observation-companding",
        "gato_data/tokenizers/companding.py",
        "M = 256.0",
        "M = 1.0",
    ),
    # Ids.
    Mutant(
        "separator-on-the-id-of-a-value",
        "id-map",
        VOCABULARY,
        "SEPARATOR = 33_024",
        "SEPARATOR = 33_023",
    ),
    Mutant(
        "padding-is-the-separator", "id-map", VOCABULARY, "PADDING = 33_025", "PADDING = 33_024"
    ),
    Mutant(
        "continuous-range-shifted",
        "id-map",
        VOCABULARY,
        "CONTINUOUS_START = 32_000",
        "CONTINUOUS_START = 32_001",
    ),
    Mutant(
        "discrete-1024-accepted",
        "discrete-ids",
        DISCRETE,
        "last = first + DISCRETE_SIZE - 1",
        "last = first + DISCRETE_SIZE",
    ),
    Mutant(
        "discrete-values-clamped",
        "discrete-ids",
        DISCRETE,
        '    _check_range(values, 0, "is no discrete value")\n',
        "    values = np.clip(values, 0, DISCRETE_SIZE - 1)\n",
    ),
    Mutant(
        "discrete-argument-changed-in-place",
        "discrete-ids",
        DISCRETE,
        "ids = values.astype(np.int32)",
        "ids = values.astype(np.int32, copy=False)",
    ),
    Mutant(
        "discrete-ids-moved-by-default",
        "discrete-ids",
        CONFIG,
        "discrete_offset: int = 0",
        "discrete_offset: int = 33_027",
    ),
    Mutant(
        "discrete-offset-ignored",
        "discrete-ids",
        TOKENS,
        "ids + self.vocabulary.dtype.type(self.vocabulary.discrete_offset)",
        "ids",
    ),
    Mutant(
        "discrete-ids-among-continuous-ones",
        "discrete-ids",
        TOKENS,
        "ids + self.vocabulary.dtype.type(self.vocabulary.discrete_offset)",
        "ids + self.vocabulary.dtype.type(32_000)",
    ),
    Mutant(
        "integers-become-continuous",
        "declared-kinds",
        LAYOUT,
        'return "discrete", ("discrete", "continuous")',
        'return "continuous", ("discrete", "continuous")',
    ),
    Mutant(
        "text-beyond-its-ids",
        "text-ids",
        TEXT,
        "if self.size > TEXT_SIZE:",
        "if self.size > 2 * TEXT_SIZE:",
    ),
    Mutant(
        "end-mark-after-every-text",
        "text-ids",
        "gato_data/sequencing/text_ids.py",
        "tokenizer.encode_many(distinct)",
        "[np.append(ids, tokenizer.end_of_text) for ids in tokenizer.encode_many(distinct)]",
    ),
)
