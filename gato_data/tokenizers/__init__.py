"""The four tokenizers of section 2.1 of the Gato paper, one modality each: encode and decode."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gato_data.tokenizers import continuous, discrete, image, text

__all__ = ["continuous", "discrete", "image", "text"]


def __getattr__(name: str) -> Any:
    # Imported when first used: text needs SentencePiece, the others numpy alone.
    if name in __all__:
        return importlib.import_module(f"gato_data.tokenizers.{name}")
    raise AttributeError(f"module 'gato_data.tokenizers' has no attribute {name!r}")
