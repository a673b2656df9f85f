"""The rules of the corpora's oracle one by one: cuts, texts, images, and what it refuses."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.oracle import corpora_cuts as cuts
from tests.oracle import corpora_documents as documents
from tests.oracle import corpora_images as images
from tests.oracle.corpora import Corpus, InputFile
from tests.oracle.corpora_images import Refused
from tests.oracle.corpora_records import PICTURES, picture
from tests.oracle.rlds_fixtures import train_text_model


def test_windows_cover_a_document() -> None:
    assert cuts.cover(10, 4, 0.0) == [0, 4, 6]
    assert cuts.cover(10, 4, 0.5) == [0, 2, 6]
    assert cuts.cover(10, 4, 0.99) == [0, 1, 5, 6]
    assert cuts.cover(4, 4, 0.9) == cuts.cover(1, 4, 0.9) == [0]
    assert cuts.random(10, 4, [0.0, 0.5, 0.999]) == [0, 3, 6]
    assert cuts.random(3, 4, [0.999]) == [0]


def test_documents_are_packed_where_the_least_room_is_left() -> None:
    # 7, 6 and 5 need sequences of their own; 3 fills that of 7, and 4 that of 6.
    assert cuts.packed([7, 6, 5, 3, 4, 5], 10) == [[0, 3], [1, 4], [2, 5]]
    # Two that leave as much: the one begun first.
    assert cuts.packed([6, 6, 2, 2, 2, 2], 10) == [[0, 2, 3], [1, 4, 5]]
    assert cuts.packed([9, 2], 10) == [[0], [1]]
    assert cuts.packed([], 10) == []


def test_groups_take_pairs_in_turn() -> None:
    assert cuts.groups("abcde", 2) == [["a", "b"], ["c", "d"], ["e", "a"]]
    assert cuts.groups("abcd", 2) == [["a", "b"], ["c", "d"]]
    assert cuts.groups("a", 3) == [["a", "a", "a"]]


def test_runs_end_by_their_number_and_their_bytes() -> None:
    assert [len(run) for run in cuts.runs([0] * 600, True)] == [256, 256, 88]
    assert [len(run) for run in cuts.runs([0] * 5000, False)] == [4096, 904]
    most = 64 << 20
    assert cuts.runs([most, 1, most - 1, 1, 2 * most, 0], False) == [[0], [1, 2], [3], [4], [5]]


def test_small_pieces_go_together() -> None:
    pieces = [["a"], ["b", "c"], ["d", "e"], ["f"]]
    assert cuts.joined(pieces, [1, 2, 2, 1], 2) == [["a", "b", "c"], ["d", "e", "f"]]
    # By pairs, of which a record may have several.
    assert cuts.joined(pieces, [2, 2, 2, 1], 2) == [["a"], ["b", "c"], ["d", "e", "f"]]
    assert cuts.joined([], [], 2) == []
    with pytest.raises(ValueError, match="3 pairs"):
        cuts.joined(pieces[:2], [1, 2], 4)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("abcd", ["abcd"]),
        ("abcde", ["abcd", "e"]),
        ("a bc\nde", ["a bc", "\nde"]),
        ("a\nb d e f", ["a", "\nb d", " e f"]),
        ("\nabcdef", ["\nabc", "def"]),
        ("abcd\nefg", ["abcd", "\nefg"]),
        ("a\nb\nc\nd", ["a\nb", "\nc\nd"]),
        ("a\nb c d", ["a", "\nb c", " d"]),
    ],
)
def test_long_texts_are_cut_before_white_space(text: str, parts: list[str]) -> None:
    assert documents.chunks(text, 4) == parts


@pytest.mark.parametrize(
    ("template", "parts"),
    [
        ("{text}", ("", "{text}")),
        ("Q: {question} A: {answer}", ("Q: {question} A:", " {answer}")),
        ("{question}\n\n{answer}!", ("{question}", "\n\n{answer}!")),
    ],
)
def test_templates_are_cut_before_the_answer(template: str, parts: tuple[str, str]) -> None:
    assert documents.split_template(template) == parts


def test_a_question_may_speak_of_the_template() -> None:
    record = {"image": b"x", "question": "an {answer}?", "answer": "{question}"}
    found = documents.pair(record, {"kind": "question_answer"}, 0)
    assert [part.value for part in found] == [b"x", "Q: an {answer}? A:", " {question}"]


def test_the_space_mark_is_three_bytes(tmp_path: Path) -> None:
    tokens = documents.Tokens(train_text_model(tmp_path / "text.model"))
    # The pieces of bytes come after <unk>, <s> and </s>.
    mark = [3 + 0xE2, 3 + 0x96, 3 + 0x81]
    go, ball = tokens.ids("go"), tokens.ids("ball")
    assert tokens.ids("go▁ball▁") == [*go, *mark, *ball, *mark]
    assert tokens.ids("▁") == mark
    assert go != ball != []


def png(pixels: Any, **settings: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, **({"format": "PNG"} | settings))
    return buffer.getvalue()


def test_turned_images_are_put_upright() -> None:
    from PIL import Image

    stored = np.zeros((16, 32, 3), np.uint8)
    stored[0, 0] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise: its upper left corner comes to the upper right
    found = images.pixels(png(stored, exif=exif), None, "pad")
    assert found.shape == (32, 16, 3)
    assert found[0, 15].tolist() == [255] * 3
    assert found.sum() == 3 * 255
    assert images.stored_size(png(stored, exif=exif)) == (32, 16)


def test_colours_of_all_modes() -> None:
    from PIL import Image

    sixteen = images.pixels(png(np.full((16, 16), 0x12FF, np.uint16)), None, "pad")
    assert set(sixteen.flatten().tolist()) == {0x12}
    grey = images.pixels(png(np.full((16, 16), 7, np.uint8)), None, "pad")
    assert set(grey.flatten().tolist()) == {7}
    see_through = np.full((16, 16, 4), [1, 2, 3, 0], np.uint8)
    assert images.pixels(png(see_through), None, "pad")[3, 3].tolist() == [1, 2, 3]
    palette = Image.new("P", (16, 16), 1)
    palette.putpalette([0, 0, 0, 9, 8, 7])
    assert images.pixels(png(palette), None, "pad")[0, 0].tolist() == [9, 8, 7]
    buffer = io.BytesIO()
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(buffer, "JPEG")
    red, green, blue = images.pixels(buffer.getvalue(), None, "pad")[0, 0].tolist()
    assert red > 250
    assert max(green, blue) < 5


@pytest.mark.parametrize("kind", PICTURES)
def test_pictures_of_the_fixtures_have_the_size_asked_for(kind: str) -> None:
    data = picture(kind, 23, 40, seed=1)
    assert images.stored_size(data) == (23, 40)
    assert data == picture(kind, 23, 40, seed=1) != picture(kind, 23, 40, seed=2)
    assert images.pixels(data, None, "pad").shape == (32, 48, 3)
    assert images.pixels(data, None, "pad")[:23, :40].std() > 20


def halves(height: int, width: int) -> bytes:
    """50 on the left, 200 on the right."""
    pixels = np.full((height, width, 3), 50, np.uint8)
    pixels[:, width // 2 :] = 200
    return png(pixels)


def test_images_are_fitted_with_their_aspect() -> None:
    padded = images.pixels(halves(8, 16), (32, 32), "pad")
    assert [padded[y, x, 0] for y, x in ((0, 0), (15, 31), (16, 0), (31, 31))] == [50, 200, 0, 0]
    cropped = images.pixels(halves(8, 16), (16, 16), "center_crop")
    # Scaled to 16 x 32, of which the columns 8 to 23 remain, the middle at 8.
    assert [cropped[5, x, 0] for x in (0, 5, 10, 15)] == [50, 50, 200, 200]
    # Scaled to 32 x 16, of which the rows 8 to 23 remain.
    stored = np.zeros((16, 8, 3), np.uint8)
    stored[12:] = 255
    tall = images.pixels(png(stored), (16, 16), "center_crop")
    assert [tall[y, 0, 0] for y in (0, 14)] == [0, 0]
    assert tall[15, 0, 0] > 0
    stretched = images.pixels(halves(8, 16), (32, 32), "resize_up")
    assert [stretched[31, x, 0] for x in (0, 12, 19, 31)] == [50, 50, 200, 200]
    as_stored = images.pixels(halves(8, 16), None, "pad")
    assert [as_stored[y, 15, 0] for y in (7, 8, 15)] == [200, 0, 0]


def test_images_may_fill_a_sequence_but_must_have_the_size_asked_for() -> None:
    part = documents.Part(halves(48, 64), False)
    documents.check_images([part], {"image_size": None}, 12)
    with pytest.raises(Refused, match="in 11 tokens"):
        documents.check_images([part], {"image_size": None}, 11)
    exact = {"image_size": [48, 64], "image_fit": "error"}
    documents.check_images([part], exact, 12)
    with pytest.raises(Refused, match="48 x 64"):
        documents.check_images([part], exact | {"image_size": [64, 64]}, 100)


def test_images_of_too_many_pixels_are_refused() -> None:
    from PIL import Image

    assert images.stored_size(png(Image.new("1", (8192, 8192)))) == (8192, 8192)
    with pytest.raises(Refused, match="8193 x 8192"):
        images.stored_size(png(Image.new("1", (8192, 8193))))


def damaged(image: bytes) -> bytes:
    """A PNG with other bytes where its pixels are."""
    place = image.index(b"IDAT") + 8
    return image[:place] + b"wrong" + image[place + 5 :]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"text": ""}, "an empty text"),
        ({"text": " \n"}, "an empty text"),
        ({"text": None}, "no text"),
        ({"text": []}, "no text"),
        ({"text": ["go", ""]}, "an empty text"),
        ({"text": "\ud800"}, "a lone surrogate"),
        ({"image": None}, "no image"),
        ({"image": b"no image"}, "image header"),
        ({"image": damaged(halves(16, 16))}, "image: "),
        ({"image": halves(64, 64)}, "64 x 64 pixels in 12 tokens"),
    ],
)
def test_unusable_records_are_told(tmp_path: Path, settings: dict[str, Any], why: str) -> None:
    good = {"id": "a", "image": halves(16, 16), "text": "go"}
    records = [good, good | {"id": "b"} | settings]
    config = {"name": "toy", "kind": "image_text", "image_size": None, "pairs": 1}
    model = train_text_model(tmp_path / "text.model")
    toy = Corpus(config, (InputFile("f", tuple(records)),), model, length=12)
    [(place, found)] = toy.refused.items()
    assert place == ("f", 1)
    assert why in found
    assert [one.episode_id for one in toy.sequences()] == ['["a"]']


@pytest.mark.parametrize(
    ("text", "image", "why"),
    [
        (["go", "to"], [None], "2 texts and 1 images"),
        (["go"], [b"x"], "both"),
        ([None, ""], [b"x", None], "no text"),
        ("go<image>", [], "1 marks and 0 images"),
        ("<image>", [b"x"], "no text"),
    ],
)
def test_unusable_pages_are_told(text: Any, image: Any, why: str) -> None:
    with pytest.raises(Refused, match=why):
        documents.whole({"text": text, "image": image}, {"kind": "interleaved"})
