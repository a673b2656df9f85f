"""What images cost in each encoding of a shard: bytes, time to write, time to read at random.

    python -m benchmarks.encodings

Sequences of image tokens only, of rendered frames (BabyAI, 64 x 64) and of natural ones
(photographs, 224 x 224). Beside the encodings of shards stand the frames as JPEG and PNG, as they
came: stored without decoding, and decoded and cut into patches whenever they are read. Rates are
by processor time, in one thread.
"""

import io
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import simplejpeg
from PIL import Image

from gato_data.loading.shards import ArrowShard, TfrecordShard
from gato_data.records import shards, tfrecord
from gato_data.sequencing.sequences import (
    PATCH_BYTES,
    PATCH_FIELDS,
    SCALAR_FIELDS,
    TEXT_FIELDS,
    TOKEN_FIELDS,
    TokenSequences,
)
from gato_data.tokenizers.image import patchify

SEQUENCES = 200
LENGTH = 1024
# As in a build, a record batch has as many sequences as make a megabyte: two of images.
_BATCH = 2
_READS = 400
# Quality of the JPEGs: what many recorders of robots write.
_QUALITY = 95

Frames = list[np.ndarray[Any, Any]]
# Reads the patches of a sequence, uint8 [n, 768].
Read = Callable[[int], np.ndarray[Any, Any]]


def rendered() -> Frames:
    """BabyAI frames of 64 x 64, as the expert of a level sees them."""
    import minigrid  # noqa: F401  (registers the levels)

    env = gymnasium.make("BabyAI-GoToLocal-v0")
    chance = np.random.default_rng(0)
    frames: Frames = []
    while len(frames) < 1024:
        env.reset(seed=len(frames))
        for action in chance.integers(0, 3, 16):
            env.step(int(action))
            frames.append(env.unwrapped.get_frame(tile_size=8, highlight=True))  # type: ignore[attr-defined]
    return frames


def natural() -> Frames:
    """Crops of photographs, brought to 224 x 224."""
    from skimage import data

    photographs = [data.astronaut(), data.chelsea(), data.coffee(), data.rocket()]
    chance = np.random.default_rng(0)
    frames: Frames = []
    for number in range(512):
        photograph = photographs[number % len(photographs)]
        side = int(chance.integers(224, min(photograph.shape[:2])))
        top, left = (int(chance.integers(size - side + 1)) for size in photograph.shape[:2])
        crop = Image.fromarray(photograph[top : top + side, left : left + side])
        frames.append(np.asarray(crop.resize((224, 224), Image.Resampling.BICUBIC)))
    return frames


def sequence_frames(frames: Frames) -> list[Frames]:
    """Which frames each sequence has: as many as fit."""
    tokens = frames[0].shape[0] * frames[0].shape[1] // 256
    each = LENGTH // tokens
    places = np.arange(SEQUENCES * each).reshape(SEQUENCES, each) % len(frames)
    return [[frames[place] for place in row] for row in places.tolist()]


def batches(sequences: Sequence[Frames]) -> Iterator[TokenSequences]:
    for start in range(0, len(sequences), _BATCH):
        chosen = sequences[start : start + _BATCH]
        patches = [patchify(np.stack(frames)).reshape(-1, PATCH_BYTES) for frames in chosen]
        counts = [len(one) for one in patches]
        rows = (len(chosen), LENGTH)
        yield TokenSequences(
            fields={name: np.zeros(rows, dtype) for name, dtype in TOKEN_FIELDS.items()},
            patch_offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            patch_fields={"patches": np.concatenate(patches)}
            | {
                name: np.zeros((sum(counts), width), np.uint8)
                for name, width in PATCH_FIELDS.items()
                if name != "patches"
            },
            scalars={name: np.zeros(len(chosen), dtype) for name, dtype in SCALAR_FIELDS.items()},
            texts={name: [""] * len(chosen) for name in TEXT_FIELDS},
        )


def as_shard(
    folder: Path, made: Sequence[TokenSequences], form: str, compression: str
) -> tuple[float, int, Read]:
    """Seconds to write a shard, its bytes, and what reads it."""
    path = folder / shards.shard_name("bench", "train", 0, 1, form)
    began = time.process_time()
    with path.open("wb") as file:
        offsets = shards.write_shard(file, made, LENGTH, np.uint16, form, compression)
    seconds = time.process_time() - began
    if offsets is not None:
        Path(shards.offsets_path(str(path))).write_bytes(tfrecord.offsets_bytes(offsets))
    kind = ArrowShard if form == "arrow" else TfrecordShard
    shard: Any = kind(str(path), LENGTH, np.uint16)
    return seconds, path.stat().st_size, lambda row: shard.views(row, ["patches"])["patches"]


def jpeg(frame: np.ndarray[Any, Any]) -> bytes:
    return bytes(simplejpeg.encode_jpeg(np.ascontiguousarray(frame), quality=_QUALITY))


def png(frame: np.ndarray[Any, Any]) -> bytes:
    target = io.BytesIO()
    Image.fromarray(frame).save(target, "PNG")
    return target.getvalue()


def from_png(data: bytes) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(data)))


SHARDS = {
    "Arrow": ("arrow", "none"),
    "Arrow, lz4": ("arrow", "lz4"),
    "Arrow, zstd": ("arrow", "zstd"),
    "TFRecord": ("tfrecord", "none"),
}
FRAMES = {
    "frames as JPEG": (jpeg, simplejpeg.decode_jpeg),
    "frames as PNG": (png, from_png),
}


def as_frames(
    folder: Path,
    sequences: Sequence[Frames],
    encode: Callable[[Any], bytes],
    decode: Callable[[bytes], Any],
) -> tuple[float, int, Read]:
    """The same for frames as they came."""
    known: dict[int, bytes] = {}
    for frames in sequences:
        for frame in frames:
            if id(frame) not in known:
                known[id(frame)] = encode(frame)
    stored = [[known[id(frame)] for frame in frames] for frames in sequences]
    path = folder / "frames"
    began = time.process_time()
    with path.open("wb") as file:
        for encoded in stored:
            file.writelines(encoded)
    seconds = time.process_time() - began

    def read(row: int) -> np.ndarray[Any, Any]:
        return patchify(np.stack([decode(one) for one in stored[row]])).reshape(-1, PATCH_BYTES)

    # Of a sequence without its pixels: what its other fields take.
    others = LENGTH * sum(dtype.itemsize for dtype in TOKEN_FIELDS.values())
    return seconds, path.stat().st_size + others * len(sequences), read


def random_reads(read: Read) -> float:
    """Seconds to copy the patches of sequences in a random order, once all were read before."""
    for row in range(SEQUENCES):
        read(row)
    target = np.empty((LENGTH, PATCH_BYTES), np.uint8)
    order = np.random.default_rng(0).integers(0, SEQUENCES, _READS).tolist()
    began = time.process_time()
    for row in order:
        found = read(row)
        target[: len(found)] = found
    return time.process_time() - began


def table(title: str, frames: Frames, folder: Path) -> None:
    sequences = sequence_frames(frames)
    made = list(batches(sequences))
    tokens = sum(int(one.patch_offsets[-1]) for one in made)
    print(f"\n{title}: bytes an image token; written and read at random, M image tokens/s")

    def row(label: str, seconds: float, size: int, read: Read) -> None:
        read_rate = tokens / SEQUENCES * _READS / random_reads(read)
        write_rate = tokens / seconds
        print(
            f"  {label:16} {size / tokens:8.1f} {write_rate / 1e6:8.2f} {read_rate / 1e6:8.2f}",
            flush=True,
        )

    for label, encoding in SHARDS.items():
        row(label, *as_shard(folder, made, *encoding))
    for label, coding in FRAMES.items():
        row(label, *as_frames(folder, sequences, *coding))


def main() -> None:
    for title, frames in (("rendered, 64 x 64", rendered()), ("natural, 224 x 224", natural())):
        with tempfile.TemporaryDirectory() as folder:
            table(title, frames, Path(folder))


if __name__ == "__main__":
    main()
