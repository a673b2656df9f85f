"""Agent experience and vision-language corpora as Gato token sequences, at any scale.

    gato_data.tokenizers       text, image, discrete, continuous: values <-> tokens
    gato_data.expert_return    the windowed expert return behind the 80 % filter
    gato_data.load             the batches of a built data set

Each is imported when it is first used, so that `import gato_data` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gato_data import expert_return, tokenizers
    from gato_data.loading import load

__version__ = "0.1.0"
__all__ = ["__version__", "expert_return", "load", "tokenizers"]


def __getattr__(name: str) -> Any:
    if name in ("expert_return", "tokenizers"):
        return importlib.import_module(f"gato_data.{name}")
    if name == "load":
        return importlib.import_module("gato_data.loading").load
    raise AttributeError(f"module 'gato_data' has no attribute {name!r}")
