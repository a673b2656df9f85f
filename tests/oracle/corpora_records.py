"""Records of small corpora: images of all kinds, captions, questions, texts and pages.

A record is a mapping from roles (`id`, `text`, `image`, `question`, `answer`) to values, images as
encoded bytes. Equal arguments give equal records.
"""

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.oracle.rlds_fixtures import WORDS

Records = Sequence[dict[str, Any]]

# What only byte pieces can write, the mark that SentencePiece has for spaces among it.
RARE = ("naïve", "▁", "x▁▁y", "Größe", "数独", "🙂", "<image", "{answer}", "tab\there")
PICTURES = (
    *("png", "grey", "jpeg", "palette", "alpha", "grey alpha", "two colours"),
    *("sixteen bits", "rotated jpeg", "four inks", "webp", "rotated png"),
)


def picture(kind: str, height: int, width: int, seed: int = 0) -> bytes:
    """An encoded image of noise, `height` and `width` as it is seen.

    Args:
      kind: one of `PICTURES`.
      height, width: pixels.
      seed: of the noise.
    """
    from PIL import Image

    noise = np.random.default_rng([seed, height, width])
    turned = kind.startswith("rotated")
    shape = (width, height, 4) if turned else (height, width, 4)
    values = noise.integers(0, 256, shape).astype(np.uint8)
    image = Image.fromarray(values[..., :3])
    settings: dict[str, Any] = {"format": "PNG"}
    if turned:
        exif = Image.Exif()
        exif[0x0112] = 6 if "jpeg" in kind else 5
        settings["exif"] = exif
    if "jpeg" in kind or kind == "four inks":
        settings |= {"format": "JPEG", "quality": 90}
    if kind == "webp":
        settings = {"format": "WEBP", "lossless": True}
    if kind == "sixteen bits":
        wide = noise.integers(0, 2**16, (height, width)).astype(np.uint16)
        image = Image.fromarray(wide)
    modes = {"grey": "L", "palette": "P", "two colours": "1", "four inks": "CMYK"}
    if kind in modes:
        image = image.convert(modes[kind])
    if kind == "alpha":
        image = Image.fromarray(values)
    if kind == "grey alpha":
        image = Image.fromarray(np.ascontiguousarray(values[..., :2]))
    buffer = io.BytesIO()
    image.save(buffer, **settings)
    return buffer.getvalue()


def _pictures(random: np.random.Generator, count: int, sides: Sequence[int]) -> list[bytes]:
    found = []
    for number in range(count):
        height, width = (int(side) for side in random.choice(sides, 2))
        found.append(picture(PICTURES[number % len(PICTURES)], height, width, number))
    return found


def _words(random: np.random.Generator, fewest: int, most: int) -> str:
    count = int(random.integers(fewest, most + 1))
    words = [str(word) for word in random.choice(WORDS, count)]
    if random.random() < 0.3:
        words.insert(int(random.integers(0, count + 1)), str(random.choice(RARE)))
    return " ".join(words)


def caption_records(
    seed: int, count: int, captions: int = 1, sides: Sequence[int] = (16, 23, 32, 48)
) -> Records:
    """Images with one caption each, or with a list of 1 to `captions`."""
    random = np.random.default_rng(seed)
    records = []
    for number, image in enumerate(_pictures(random, count, sides)):
        texts = [_words(random, 1, 9) for _ in range(int(random.integers(1, captions + 1)))]
        text = texts if captions > 1 else texts[0]
        records.append({"id": f"picture-{number:03d}", "image": image, "text": text})
    return records


def question_records(
    seed: int, count: int, answers: int = 1, sides: Sequence[int] = (16, 32)
) -> Records:
    """Images with a question and one answer each, or with a list of 1 to `answers`."""
    return [
        {
            "id": f'frage "ü" {number:03d}',
            "image": record["image"],
            "question": f"what is {number} of {{answer}}?",
            "answer": record["text"],
        }
        for number, record in enumerate(caption_records(seed, count, answers, sides))
    ]


def document_records(seed: int, count: int, words: tuple[int, int] = (1, 150)) -> Records:
    """Texts without line ends."""
    random = np.random.default_rng(seed)
    return [{"id": f"tëxt/{n}", "text": _words(random, *words)} for n in range(count)]


def page_records(seed: int, count: int, sides: Sequence[int] = (16, 32)) -> Records:
    """Pages of texts and images in order, as two lists; some places are empty."""
    random = np.random.default_rng(seed)
    images = iter(_pictures(random, 4 * count, sides))
    records = []
    for number in range(count):
        places = [str(x) for x in random.choice(["text", "image", "nothing"], 4)]
        places.insert(int(random.integers(0, 5)), "text")
        texts = [_words(random, 1, 20) if place == "text" else None for place in places]
        shown = [next(images) if place == "image" else None for place in places]
        records.append({"id": f"page {number}", "text": texts, "image": shown})
    return records


def marked(records: Records, mark: str = "<image>") -> Records:
    """Pages whose text is one string, with a mark where each image goes."""
    found = []
    for record in records:
        places = zip(record["text"], record["image"], strict=True)
        text = "".join(text or (mark if image else "") for text, image in places)
        images = [image for image in record["image"] if image]
        found.append(record | {"text": text, "image": images})
    return found
