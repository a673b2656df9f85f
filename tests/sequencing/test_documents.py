"""The tokens of documents: texts in order, patches where images stand, `</s>` at the end."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.errors import ContentError
from gato_data.sequencing import documents
from gato_data.sequencing.assembly import Excerpt, PlannedSequence, assemble
from gato_data.sequencing.documents import (
    Document,
    DocumentTokens,
    Fitting,
    Text,
    measure,
    tokenise,
)
from gato_data.sequencing.sequences import TEXT_FIELDS
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import Vocabulary

AS_STORED = Fitting(None, "error", 1024)


@dataclass(frozen=True)
class Pixels:
    """A picture of one colour for each patch: 0, 1, 2 … in raster order."""

    rows: int = 1
    columns: int = 2
    fault: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        return 16 * self.rows, 16 * self.columns

    def pixels(self) -> npt.NDArray[np.uint8]:
        if self.fault:
            raise ContentError(self.fault)
        numbers = np.arange(self.rows * self.columns, dtype=np.uint8).reshape(self.rows, -1)
        return np.repeat(np.kron(numbers, np.ones((16, 16), np.uint8))[..., np.newaxis], 3, axis=2)


def tokens(text: TextTokenizer, *parts: Any, fitting: Fitting = AS_STORED) -> DocumentTokens:
    [found] = tokenise([Document(parts)], fitting, text, Vocabulary())
    assert isinstance(found, DocumentTokens)
    return found


def fields_of(found: DocumentTokens, start: int, stop: int) -> dict[str, npt.NDArray[Any]]:
    """The fields as they stand in a sequence of just these tokens."""
    excerpt = Excerpt(found, start, stop)
    planned = PlannedSequence((excerpt,), 0, dict.fromkeys(TEXT_FIELDS, ""), start)
    batch = assemble([planned], stop - start, Vocabulary(), prompt_loss=True)
    return {name: values[0] for name, values in batch.fields.items()}


@pytest.mark.fidelity("document-end", "document-order", "corpus-positions", "corpus-loss")
def test_a_document_by_hand(text: TextTokenizer) -> None:
    found = tokens(text, Text("go to"), Pixels(), Text(" the red ball"))
    first, second = text.encode("go to").tolist(), text.encode(" the red ball").tolist()
    ids = [*first, 33026, 33026, *second, text.end_of_text]
    fields = fields_of(found, 0, len(found))
    assert fields["tokens"].tolist() == ids
    assert fields["tokens"].dtype == np.uint16
    kinds = [1] * len(first) + [2, 2] + [1] * (len(second) + 1)
    assert fields["modality"].tolist() == kinds
    assert fields["loss_mask"].tolist() == [int(kind == 1) for kind in kinds]
    assert fields["local_position"].tolist() == [-1] * len(ids)
    assert fields["timestep"].tolist() == [-1] * len(ids)
    patches = found.patch_fields["patches"]
    assert patches.shape == (2, 768)
    assert patches[:, 0].tolist() == [0, 1]
    assert found.patch_fields["patch_rows"].tolist() == [[0, 128], [0, 128]]
    assert found.patch_fields["patch_columns"].tolist() == [[0, 64], [64, 128]]


@pytest.mark.fidelity("corpus-loss")
def test_a_text_that_is_no_target(text: TextTokenizer) -> None:
    found = tokens(text, Pixels(), Text("Q: what? A:", is_target=False), Text(" red"))
    asked, answer = len(text.encode("Q: what? A:")), len(text.encode(" red"))
    masks = fields_of(found, 0, len(found))["loss_mask"].tolist()
    assert masks == [0, 0] + [0] * asked + [1] * (answer + 1)


@pytest.mark.fidelity("document-order")
@given(start=st.integers(0, 40), length=st.integers(0, 40))
def test_a_cut_is_a_part_of_the_whole(text: TextTokenizer, start: int, length: int) -> None:
    found = tokens(
        text, Text("go", is_target=False), Pixels(2, 3), Text(" to the door"), Pixels(1, 1)
    )
    whole = fields_of(found, 0, len(found))
    start = min(start, len(found))
    stop = min(start + length, len(found))
    for name, values in fields_of(found, start, stop).items():
        assert values.tolist() == whole[name][start:stop].tolist(), name
    images = (whole["modality"] == 2).tolist()
    rows = found.patch_range(start, stop)
    assert (rows.start, rows.stop) == (sum(images[:start]), sum(images[:stop]))


def test_documents_are_encoded_in_one_call(text: TextTokenizer) -> None:
    texts = ["go", "to the red ball", "a door", ""]
    found = tokenise([Document((Text(x),)) for x in texts], AS_STORED, text, Vocabulary())
    for one, string in zip(found, texts, strict=True):
        assert isinstance(one, DocumentTokens)
        assert one.ids.tolist() == [*text.encode(string).tolist(), text.end_of_text]


def test_a_broken_image_refuses_its_document_alone(text: TextTokenizer) -> None:
    parts = [(Text("a"),), (Pixels(fault="cut"), Text("b")), (Text("c"),)]
    found = tokenise([Document(x) for x in parts], AS_STORED, text, Vocabulary())
    assert isinstance(found[1], ContentError)
    assert str(found[1]) == "cut"
    for place, string in ((0, "a"), (2, "c")):
        one = found[place]
        assert isinstance(one, DocumentTokens)
        assert one.ids.tolist() == [*text.encode(string).tolist(), text.end_of_text]


def test_alternatives_share_their_image(text: TextTokenizer) -> None:
    picture = Pixels()
    found = tokenise(
        [Document((picture, Text(x))) for x in ("a", "b")], AS_STORED, text, Vocabulary()
    )
    first, second = (x.patch_fields["patches"] for x in found if isinstance(x, DocumentTokens))
    assert first is second


@pytest.mark.fidelity("corpus-images")
def test_images_are_brought_to_one_size(text: TextTokenizer) -> None:
    fitting = Fitting((32, 32), "pad", 1024)
    # 16 x 32 fits inside as it is; the lower half is black.
    found = tokens(text, Pixels(1, 2), Text("a"), fitting=fitting)
    assert found.patch_fields["patches"].reshape(4, -1).max(axis=1).tolist() == [0, 1, 0, 0]
    assert measure(Document((Pixels(1, 2), Text("a"), Pixels(9, 1))), fitting) == 8


def test_an_image_of_more_tokens_than_a_sequence_is_refused() -> None:
    fitting = Fitting(None, "error", 5)
    assert measure(Document((Pixels(1, 5),)), fitting) == 5
    with pytest.raises(ContentError, match=r"16 x 96 .* 1 x 6 patches, more than the 5 tokens"):
        measure(Document((Pixels(1, 6),)), fitting)


def test_long_texts_are_cut_before_a_newline_or_a_space(monkeypatch: pytest.MonkeyPatch) -> None:
    assert documents._CHUNK_CHARACTERS == 65_536
    monkeypatch.setattr(documents, "_CHUNK_CHARACTERS", 10)
    cases = {
        "0123456789": ["0123456789"],
        "01234 6789\nab": ["01234 6789", "\nab"],
        "012\n45 789 bc": ["012", "\n45 789 bc"],
        "01 34 6789abcd": ["01 34", " 6789abcd"],
        "0123456789abcdefghijklm": ["0123456789", "abcdefghij", "klm"],
        "\n123456789abc": ["\n123456789", "abc"],
        "": [""],
    }
    for string, expected in cases.items():
        assert list(documents._chunks(string)) == expected, string


@given(string=st.text(alphabet="ab \n", max_size=200))
def test_the_chunks_are_the_text(string: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "_CHUNK_CHARACTERS", 7)
        found = list(documents._chunks(string))
    assert "".join(found) == string
    assert all(0 < len(chunk) <= 7 for chunk in found) or found == [""]


def test_a_long_text_is_the_chunks_one_after_another(text: TextTokenizer) -> None:
    line = "go to the red ball, then open the door\n"
    found = tokens(text, Text(line * 5000))
    # 1,680 lines without the last newline are 65,519 characters; one more line would be too many.
    whole = line * 1680
    chunks = [whole[:-1], "\n" + whole[:-1], "\n" + line * 1640]
    assert "".join(chunks) == line * 5000
    ids = [x for chunk in chunks for x in text.encode(chunk).tolist()]
    assert [*ids, text.end_of_text] == found.ids.tolist()
