"""Mistakes in images: patches, pixels, positions of patches."""

from tests.mutation.mutant import Mutant

IMAGE = "gato_data/tokenizers/image.py"
CONFIG = "gato_data/config_types.py"
PATCHES = "gato_data/sequencing/patches.py"

MUTANTS = (
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
