"""Text to ids and back."""

import hashlib
import io
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gato_data.errors import UsageError
from gato_data.storage import files
from gato_data.tokenizers.text import TextTokenizer

LINES = [
    f"the {word} fox jumps over a {other} dog, and {word} hens watch the {other} café"
    for word in ("quick", "brown", "clever", "hungry", "sleepy", "northern")
    for other in ("lazy", "little", "yellow", "friendly", "southern", "wandering")
]
EXACT = {
    "byte_fallback": True,
    "normalization_rule_name": "identity",
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "vocab_size": 300,
}
ODD_TEXTS = [
    "", " ", "  ", " a", "a ", "  two  spaces  ", "\n", "\r\n", "a\nb", "\t", "\0", "a\0b", "\0\0",
    "\x01\x1f\x7f\x80\x9f", "\u2581", "\u2581\u2581", "a\u2581b", " \u2581 ", "\u2581a b\u2581",
    "\u2581\0", "é\u2581😀", "\u2585", "\u2047", " \u2047 ", "\ufffd", "\ufeff", "\ufffe\uffff",
    "<unk>", "</s>", "<s>", "<pad>", "<0x41>", "<0xE2><0x96><0x81>", "fox</s>dog",
    "😀👩‍👩‍👧", "e\u0301 é", "ﬁ Å ①", "שלום עולם", "\u202eabc\u202c", "日本語",
    "\U0010ffff", "x" * 10_000,
]  # fmt: skip


def model(lines=LINES, **options):
    writer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=writer, minloglevel=2, **options
    )
    return writer.getvalue()


MODEL = model(**EXACT)


@pytest.fixture(scope="module")
def tokenizer():
    return TextTokenizer.from_bytes(MODEL)


@pytest.mark.fidelity("text-ids")
@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_texts_round_trip(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert (ids.dtype, ids.ndim) == (np.int32, 1)


@settings(max_examples=1000, deadline=None)
@given(st.text())
def test_every_text_round_trips(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert ((ids >= 0) & (ids < tokenizer.size)).all()
    assert not np.isin(tokenizer.end_of_text, ids)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text(st.sampled_from("fox \u2581é\0"))))
@example([])
@example(ODD_TEXTS)
def test_many_at_once_are_the_same_as_one_by_one(tokenizer, texts):
    many = tokenizer.encode_many(texts)
    assert [ids.tolist() for ids in many] == [tokenizer.encode(text).tolist() for text in texts]
    assert all(ids.dtype == np.int32 for ids in many)
    assert [ids.tolist() for ids in tokenizer.encode_many(tuple(texts))] == [
        i.tolist() for i in many
    ]


@pytest.mark.fidelity("text-ids")
def test_ids_are_those_of_the_model(tokenizer):
    processor = sentencepiece.SentencePieceProcessor(model_proto=MODEL)
    for line in LINES:
        assert tokenizer.encode(line).tolist() == processor.encode(line)
    pieces = [processor.id_to_piece(int(i)) for i in tokenizer.encode("lazy dog\u2581")]
    assert "".join(pieces[:-3]) == "lazy▁dog"
    assert pieces[-3:] == ["<0xE2>", "<0x96>", "<0x81>"]


@pytest.mark.fidelity("text-ids")
def test_special_texts_are_never_special_ids(tokenizer):
    for text in ("</s>", "<unk>", "<s>"):
        assert len(tokenizer.encode(text)) > 1


@pytest.mark.parametrize("text", ["\ud800", "ab\udcff", "\ude00\ud83d"])
def test_lone_surrogates_are_refused(tokenizer, text):
    position = next(i for i, letter in enumerate(text) if "\ud800" <= letter <= "\udfff")
    code = f"{ord(text[position]):04X}"
    for call in (lambda: tokenizer.encode(text), lambda: tokenizer.encode_many(["fine", text])):
        with pytest.raises(ValueError, match=rf"surrogate U\+{code} at character {position}"):
            call()


def test_decode_takes_any_integers_and_skips_the_end_of_text(tokenizer):
    ids = tokenizer.encode("lazy dog")
    for given_ids in (ids.tolist(), ids.astype(np.uint16), ids.astype(np.int64), tuple(ids)):
        assert tokenizer.decode(given_ids) == "lazy dog"
    assert tokenizer.decode([*ids, tokenizer.end_of_text]) == "lazy dog"
    assert tokenizer.decode([]) == ""
    assert tokenizer.decode(tokenizer.encode("😀")[:1]) == "\ufffd"


@pytest.mark.parametrize("wrong", [-1, 300, 33_024])
def test_ids_that_are_no_text_are_refused(tokenizer, wrong):
    with pytest.raises(ValueError, match=r"text ids lie in \[0, 300\)"):
        tokenizer.decode([5, wrong])


def test_facts_about_the_model(tokenizer):
    assert tokenizer.size == 300
    assert tokenizer.end_of_text == 2  # SentencePiece's own default
    assert tokenizer.digest == hashlib.sha256(MODEL).hexdigest()


def test_a_pickled_tokenizer_is_the_same(tokenizer):
    copy = pickle.loads(pickle.dumps(tokenizer))
    assert copy.digest == tokenizer.digest
    assert copy.encode("lazy\u2581dog").tolist() == tokenizer.encode("lazy\u2581dog").tolist()


def test_load_reads_local_and_remote_files(tmp_path, tokenizer):
    for path in (str(tmp_path / "spm.model"), "memory://models/spm.model"):
        files.publish_bytes(path, MODEL)
        assert TextTokenizer.load(path).digest == tokenizer.digest


def test_a_model_without_byte_pieces_still_encodes():
    tokenizer = TextTokenizer.from_bytes(model(vocab_size=40))
    assert tokenizer.decode(tokenizer.encode("lazy dog")) == "lazy dog"
    assert tokenizer.decode(tokenizer.encode("lazy\u2581dog")) == "lazy dog"


# Models that cannot be used.


@pytest.mark.parametrize(
    "data",
    [b"", b"no model", MODEL[: len(MODEL) // 2], b"\0" * 100],
    ids=["empty", "text", "cut", "0"],
)
def test_a_file_that_is_no_model_is_refused(tmp_path, data):
    path = tmp_path / "spm.model"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=r"spm\.model: no SentencePiece model.*gato-data vocab"):
        TextTokenizer.load(str(path))


@pytest.mark.parametrize("path", ["missing.model", "memory://missing.model", "."])
def test_a_missing_model_is_refused(tmp_path, path):
    path = path if "://" in path else os.path.join(tmp_path, path)
    with pytest.raises(UsageError, match=r"cannot be read.*gato-data vocab") as caught:
        TextTokenizer.load(path)
    assert str(caught.value).startswith(path)


@pytest.mark.fidelity("text-ids")
def test_a_model_with_too_many_pieces_is_refused(tmp_path):
    symbols = [f"symbol{i}" for i in range(31_700)]
    fitting = model(**EXACT | {"vocab_size": 32_000}, user_defined_symbols=symbols)
    assert TextTokenizer.from_bytes(fitting).size == 32_000
    large = model(**EXACT | {"vocab_size": 32_001}, user_defined_symbols=[*symbols, "one"])
    path = tmp_path / "large.model"
    path.write_bytes(large)
    with pytest.raises(UsageError, match=r"large\.model: the model has 32001 pieces.*--size 32000"):
        TextTokenizer.load(str(path))


def test_a_model_without_an_end_of_text_is_refused():
    with pytest.raises(UsageError, match="no piece </s>"):
        TextTokenizer.from_bytes(model(**EXACT, eos_id=-1))


def test_no_heavy_library_is_imported():
    code = (
        "import sys, gato_data.tokenizers.text; "
        "print({'tensorflow', 'google.protobuf', 'apache_beam'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
