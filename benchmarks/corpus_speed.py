"""Speed of `build` on corpora, beside bare encoding and bare decoding, in one run.

    python -m benchmarks.corpus_speed [--scale 1.0]

Text is the documentation that comes with Python, its paragraphs in a random order; images are
640 x 480 JPEGs. Machines are noisy: read the ratios.
"""

import argparse
import io
import json
import multiprocessing
import pydoc_data.topics
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from benchmarks.build_speed import PROCESSES, build, timed
from gato_data.tokenizers.text import TextTokenizer
from pipelines.train_vocabulary import train_vocabulary

# At scale 1: some 150 MB of text, and 10,000 images in about 1.8 GB.
TEXT_FILES, DOCUMENTS_PER_FILE = 16, 2_000
IMAGE_FILES, IMAGES_PER_FILE = 20, 500
_DISTINCT_IMAGES = 50
_SIDE = 224


def write_text(folder: Path, scale: float) -> list[Path]:
    """JSONL files of documents of 4.5 kB, about the mean of MassiveText."""
    chance = np.random.default_rng(0)
    paragraphs = [
        part for topic in pydoc_data.topics.topics.values() for part in topic.split("\n\n")
    ]
    paths = []
    for number in range(TEXT_FILES):
        path = folder / f"text-{number:03}.jsonl"
        with path.open("w") as file:
            for _ in range(max(1, int(DOCUMENTS_PER_FILE * scale))):
                chosen = chance.integers(0, len(paragraphs), chance.integers(4, 48))
                text = "\n\n".join(paragraphs[place] for place in chosen)
                file.write(json.dumps({"text": text}) + "\n")
        paths.append(path)
    return paths


def jpeg(number: int) -> bytes:
    """A picture with large shapes and fine grain, as photographs have."""
    chance = np.random.default_rng(number)
    coarse = chance.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((640, 480), Image.Resampling.BICUBIC))
    grain = chance.normal(0, 8, smooth.shape)
    pixels = np.clip(smooth + grain, 0, 255).astype(np.uint8)
    return bytes(simplejpeg.encode_jpeg(pixels, quality=90))


def write_images(folder: Path, scale: float) -> list[Path]:
    """WebDataset tars of images with captions."""
    images = [jpeg(number) for number in range(_DISTINCT_IMAGES)]
    paths = []
    for number in range(IMAGE_FILES):
        path = folder / f"images-{number:03}.tar"
        with tarfile.open(path, "w") as file:
            for place in range(max(5, int(IMAGES_PER_FILE * scale))):
                key = f"{number:03}-{place:06}"
                caption = f"picture {place} of file {number}, with large shapes and fine grain"
                for name, data in (
                    (f"{key}.jpg", images[place % len(images)]),
                    (f"{key}.txt", caption.encode()),
                ):
                    member = tarfile.TarInfo(name)
                    member.size = len(data)
                    file.addfile(member, io.BytesIO(data))
        paths.append(path)
    return paths


_TOKENIZER: list[TextTokenizer] = []


def encode_file(path: str) -> int:
    """Bare encoding: the tokens of the documents of a file, already parsed."""
    texts = _TEXTS[path]
    ids = _TOKENIZER[0].encode_many(texts)
    return sum(map(len, ids))


_TEXTS: dict[str, list[str]] = {}


def decode_file(path: str) -> int:
    """Bare decoding and resizing: the images of a tar, already read."""
    for data in _IMAGES[path]:
        pixels = simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False)
        size = (_SIDE, _SIDE * pixels.shape[0] // pixels.shape[1])
        np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    return len(_IMAGES[path])


_IMAGES: dict[str, Sequence[bytes]] = {}


def spread(work: Callable[[str], int], paths: Iterable[Path]) -> tuple[float, int]:
    """Seconds and the sum of the answers of all processes, without starting them."""
    with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
        pool.map(abs, range(PROCESSES))
        done = [0]
        seconds = timed(
            lambda: done.__setitem__(
                0, sum(pool.imap_unordered(work, map(str, paths), chunksize=1))
            )
        )
    return seconds, done[0]


def measure_text(folder: Path, scale: float) -> None:
    source = folder / "text"
    source.mkdir()
    paths = write_text(source, scale)
    model = folder / "text.model"
    train_vocabulary([str(_plain(folder))], str(model))
    _TOKENIZER[:] = [TextTokenizer.load(str(model))]
    _TEXTS.update({str(p): [json.loads(x)["text"] for x in p.open()] for p in paths})
    size = sum(path.stat().st_size for path in paths)
    bare, tokens = spread(encode_file, paths)
    rows = [(f"bare encoder, {PROCESSES} processes", bare, tokens)]
    for label, extra in (("build", ""), ("build, packed", ", pack: true")):
        seconds = _build(folder, f"{{name: bench, kind: text, path: {source}{extra}}}", model)
        rows.append((f"{label}, {PROCESSES} workers", seconds, tokens))
    print(f"\ntext: {len(paths)} files, {size / 1e6:.0f} MB, {tokens / 1e6:.1f} M tokens")
    for label, seconds, count in rows:
        print(f"  {label:36} {seconds:7.1f} s {count / seconds / 1e6:9.2f} M tokens/s")
    for label, seconds, _ in rows[1:]:
        print(f"  {label.split(',  ')[0]:36} / bare encoder {bare / seconds:7.2f} in rate")


def _plain(folder: Path) -> Path:
    path = folder / "topics.txt"
    path.write_text("\n".join(pydoc_data.topics.topics.values()))
    return path


def measure_images(folder: Path, scale: float) -> None:
    source = folder / "images"
    source.mkdir()
    paths = write_images(source, scale)
    model = folder / "images.model"
    train_vocabulary([str(_plain(folder))], str(model))
    for path in paths:
        with tarfile.open(path) as file:
            _IMAGES[str(path)] = [
                found.read()
                for member in file
                if member.name.endswith(".jpg") and (found := file.extractfile(member))
            ]
    bare, images = spread(decode_file, paths)
    _IMAGES.clear()
    built = _build(folder, f"{{name: bench, kind: image_text, path: {source}}}", model)
    size = sum(path.stat().st_size for path in paths)
    print(f"\nimages: {images} of 640 x 480 in {len(paths)} tars, {size / 1e9:.2f} GB")
    for label, seconds in (
        (f"bare decode and resize, {PROCESSES} processes", bare),
        (f"build, {PROCESSES} workers", built),
    ):
        print(f"  {label:36} {seconds:7.1f} s {images / seconds:9.0f} images/s")
    print(f"  build / bare decode and resize        {bare / built:7.2f} in rate")


def _build(folder: Path, dataset: str, model: Path) -> float:
    config, output = folder / "bench.yaml", folder / "out"
    config.write_text(f"vocabulary: {{text_model: {model}}}\ndatasets:\n  - {dataset}\n")
    seconds = build(config, output, PROCESSES)
    shutil.rmtree(output)
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scale", type=float, default=1.0, help="of the inputs (1.0)")
    parser.add_argument("--folder", help="for the files (a temporary one)")
    parser.add_argument("--only", choices=("text", "images"))
    arguments = parser.parse_args()
    kinds: dict[str, Any] = {"text": measure_text, "images": measure_images}
    for name, measure in kinds.items():
        if arguments.only in (None, name):
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                measure(Path(folder), arguments.scale)


if __name__ == "__main__":
    main()
