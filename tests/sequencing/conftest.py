"""Inputs that the sequencing tests share."""

from pathlib import Path

import pytest

from gato_data.tokenizers.text import TextTokenizer
from tests.oracle.rlds_fixtures import train_text_model


@pytest.fixture(scope="session")
def text(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    path = train_text_model(tmp_path_factory.mktemp("model") / "text.model")
    return TextTokenizer(Path(path).read_bytes())
