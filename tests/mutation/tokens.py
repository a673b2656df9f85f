"""Mistakes in tokens: bins, ids, patches, pixels and texts."""

from tests.mutation.mutant import Mutant

CONTINUOUS = "gato_data/tokenizers/continuous.py"
DISCRETE = "gato_data/tokenizers/discrete.py"
IMAGE = "gato_data/tokenizers/image.py"
VOCABULARY = "gato_data/vocabulary.py"
CONFIG = "gato_data/config_types.py"
LAYOUT = "gato_data/building/layout.py"
TOKENS = "gato_data/sequencing/tokens.py"
PATCHES = "gato_data/sequencing/patches.py"
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
    # Images.
    Mutant(
        "patches-in-columns",
        "image-patches",
        IMAGE,
        "return patches.reshape(count, rows * columns, PATCH_SIDE, PATCH_SIDE, channels)",
        "return patches.swapaxes(1, 2).reshape(count, -1, PATCH_SIDE, PATCH_SIDE, channels)",
    ),
    Mutant(
        "frames-flipped",
        "image-patches",
        PATCHES,
        "image.patchify(whole)",
        "image.patchify(whole[:, :, ::-1])",
    ),
    Mutant(
        "colours-jittered",
        "image-patches",
        PATCHES,
        "image.patchify(whole)",
        "image.patchify(whole // 2 * 2)",
    ),
    Mutant(
        "alpha-kept-instead-of-red",
        "image-sides",
        IMAGE,
        "return frames[..., :3]",
        "return frames[..., -3:]",
    ),
    Mutant(
        "sides-padded-in-silence",
        "image-sides",
        CONFIG,
        'image_fit: Literal["error", "resize_up", "pad", "center_crop"] = "error"',
        'image_fit: Literal["error", "resize_up", "pad", "center_crop"] = "pad"',
    ),
    Mutant(
        "fast-jpeg",
        "image-decoding",
        "gato_data/readers/images.py",
        "fastdct=False",
        "fastdct=True",
    ),
    Mutant(
        "pixels-not-divided-by-four",
        "pixel-scale",
        IMAGE,
        " / np.sqrt(PATCH_SIDE))",
        ")",
    ),
    Mutant(
        "pixels-divided-by-the-area's-root",
        "pixel-scale",
        IMAGE,
        "np.sqrt(PATCH_SIDE)",
        "np.sqrt(PATCH_SIDE**2)",
    ),
    Mutant(
        "pixels-mapped-to-zero-one",
        "pixel-scale",
        IMAGE,
        "np.arange(256) / 127.5 - 1)",
        "np.arange(256) / 255)",
    ),
    Mutant(
        "patches-stretched-one-by-one",
        "pixel-scale",
        IMAGE,
        "    return _NORMALISED.take(patches)",
        "    low, high = patches.min(axis=-1, keepdims=True), patches.max(axis=-1, keepdims=True)\n"
        "    wide = (patches.astype(np.float64) - low) / np.maximum(high - low, 1) * 255\n"
        "    return _NORMALISED.take(wide.astype(np.uint8))",
    ),
    # Patch positions.
    Mutant(
        "interval-ends-floored",
        "patch-intervals",
        IMAGE,
        "round(Fraction(POSITIONS * part, parts))",
        "int(Fraction(POSITIONS * part, parts))",
    ),
    Mutant(
        "rows-and-columns-swapped",
        "patch-intervals",
        IMAGE,
        "return np.repeat(row_ends, columns, axis=0), np.tile(column_ends, (rows, 1))",
        "return np.tile(column_ends, (rows, 1)), np.repeat(row_ends, columns, axis=0)",
    ),
    Mutant(
        "127-positions",
        "patch-intervals",
        IMAGE,
        "POSITIONS = 128",
        "POSITIONS = 127",
    ),
    Mutant(
        "patch-position-drawn-when-built",
        "patch-index",
        PATCHES,
        "rows.append(np.tile(row_ends, (images, 1)))",
        "drawn = (row_ends.sum(axis=1, keepdims=True) // 2).astype(np.uint8)\n"
        "        rows.append(np.tile(drawn.repeat(2, 1), (images, 1)))",
    ),
    Mutant(
        "halves-always-up",
        "patch-index",
        IMAGE,
        "half_up = (total & 1) & (total >> 1)",
        "half_up = total & 1",
    ),
    Mutant(
        "mean-floored",
        "patch-index",
        IMAGE,
        "half_up = (total & 1) & (total >> 1)",
        "half_up = 0 * total",
    ),
    Mutant(
        "interval-end-drawn-too",
        "patch-index",
        IMAGE,
        "width = np.maximum(high - low, 1)",
        "width = high - low + 1",
    ),
)
