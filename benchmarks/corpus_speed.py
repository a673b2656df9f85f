"""Speed of `build` on corpora, beside bare encoding and bare decoding, in one run.

    python -m benchmarks.corpus_speed [--scale 1.0]

Text is the documentation that comes with Python, its paragraphs in a random order; images are
640 x 480 JPEGs. The vocabulary has the paper's size, trained on that documentation and on Python's
own sources. Inputs are large enough that start-up is a small part, and what is put beside a build
is done by as many processes as that has.

Machines are noisy: read the ratios, and beside those of seconds those of processor time, which
other work on the machine hardly touches.
"""

import argparse
import io
import json
import multiprocessing
import pydoc_data.topics
import resource
import shutil
import sysconfig
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import simplejpeg
from PIL import Image

from benchmarks.build_speed import PROCESSES, build
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import TEXT_SIZE
from pipelines.train_vocabulary import train_vocabulary

# At scale 1: some 900 MB of text, and 15,000 images in about 2.7 GB.
TEXT_FILES, DOCUMENTS_PER_FILE = 64, 3_000
IMAGE_FILES, IMAGES_PER_FILE = 30, 500
# Of the sources that a vocabulary is trained on: enough for all of its pieces.
_SOURCE_BYTES = 16 << 20
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
    return sum(map(len, _TOKENIZER[0].encode_many(_TEXTS[path])))


_TEXTS: dict[str, list[str]] = {}


def decode_file(path: str) -> int:
    """Bare decoding and resizing: the images of a tar, already read."""
    for data in _IMAGES[path]:
        pixels = simplejpeg.decode_jpeg(data, "RGB", fastdct=False, fastupsample=False)
        size = (_SIDE, _SIDE * pixels.shape[0] // pixels.shape[1])
        np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    return len(_IMAGES[path])


_IMAGES: dict[str, Sequence[bytes]] = {}


@dataclass(frozen=True)
class Cost:
    """What work took.

    Attributes:
      seconds: by the clock.
      cpu: seconds of all processors together.
    """

    seconds: float
    cpu: float

    @classmethod
    def of(cls, work: Callable[[], Any]) -> "Cost":
        """Of work that waits for all processes that it starts."""
        began, before = time.perf_counter(), _cpu_seconds()
        work()
        return cls(time.perf_counter() - began, _cpu_seconds() - before)

    def row(self, label: str, count: float, unit: str) -> str:
        rate = f"{count / self.seconds:9.2f} {unit}/s"
        return f"  {label:34} {self.seconds:7.1f} s {rate} {self.cpu:8.1f} s of processors"

    def ratios(self, label: str, bare: "Cost") -> str:
        """The rate beside that of bare work."""
        ratio = bare.seconds / self.seconds
        by_cpu = bare.cpu / self.cpu
        return f"  {label:34} {ratio:7.2f} of the bare rate, {by_cpu:.2f} by processor time"


def _cpu_seconds() -> float:
    """Of this process and of those that it has waited for."""
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


def spread(work: Callable[[str], int], paths: Iterable[Path]) -> tuple[Cost, int]:
    """What all files take in as many processes as the machine has; the sum of the answers."""
    done: list[int] = []

    def run() -> None:
        with multiprocessing.get_context("fork").Pool(PROCESSES) as pool:
            done.extend(pool.imap_unordered(work, map(str, paths), chunksize=1))
            pool.close()
            pool.join()

    return Cost.of(run), sum(done)


def measure_text(folder: Path, scale: float) -> None:
    source = folder / "text"
    source.mkdir()
    paths = write_text(source, scale)
    model = _vocabulary(folder)
    _TOKENIZER[:] = [TextTokenizer.load(str(model))]
    _TEXTS.update({str(p): [json.loads(x)["text"] for x in p.open()] for p in paths})
    size = sum(path.stat().st_size for path in paths)
    bare, tokens = spread(encode_file, paths)
    _TEXTS.clear()
    built = {
        label: _build(folder, f"{{name: bench, kind: text, path: {source}{extra}}}", model)
        for label, extra in (("build", ""), ("build, packed", ", pack: true"))
    }
    print(
        f"\ntext: {len(paths)} files, {size / 1e6:.0f} MB, {tokens / 1e6:.1f} M tokens, "
        f"{_TOKENIZER[0].size} pieces"
    )
    _show("bare encoder", bare, built, tokens / 1e6, "M tokens")


def _show(label: str, bare: Cost, built: Mapping[str, Cost], count: float, unit: str) -> None:
    print(bare.row(f"{label}, {PROCESSES} processes", count, unit))
    for name, cost in built.items():
        print(cost.row(f"{name}, {PROCESSES} workers", count, unit))
        print(cost.ratios("", bare))


def _vocabulary(folder: Path) -> Path:
    """A model of as many pieces as the paper's."""
    text, model = folder / "vocabulary.txt", folder / "text.model"
    with text.open("wb") as file:
        file.write("\n".join(pydoc_data.topics.topics.values()).encode())
        for path in sorted(Path(sysconfig.get_path("stdlib")).glob("**/*.py")):
            if file.tell() < _SOURCE_BYTES and "site-packages" not in path.parts:
                # Some files of its tests are in other encodings.
                file.write(path.read_bytes().decode(errors="ignore").encode())
    pieces = train_vocabulary([str(text)], str(model)).pieces
    if pieces < TEXT_SIZE:
        raise RuntimeError(f"the vocabulary has {pieces} pieces instead of {TEXT_SIZE}")
    return model


def measure_images(folder: Path, scale: float) -> None:
    source = folder / "images"
    source.mkdir()
    paths = write_images(source, scale)
    model = _vocabulary(folder)
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
    _show("bare decoding, resizing", bare, {"build": built}, images, "images")


def _build(folder: Path, dataset: str, model: Path) -> Cost:
    config, output = folder / "bench.yaml", folder / "out"
    config.write_text(f"vocabulary: {{text_model: {model}}}\ndatasets:\n  - {dataset}\n")
    cost = Cost.of(lambda: build(config, output, PROCESSES))
    shutil.rmtree(output)
    return cost


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
