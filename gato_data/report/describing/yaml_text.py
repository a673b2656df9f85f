"""Values as YAML on one line, whatever the data call themselves."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

# Without quotes only what no version of YAML takes for anything but a text.
_PLAIN = re.compile(r"[A-Za-z_./][A-Za-z0-9_./-]*")
_STEP_PATH = re.compile(r"steps(/[^/]+)+")
# YAML allows keys of 1024 characters on one line; escapes make names longer.
_LONGEST = 1000


def flow(value: Any) -> str:
    """A value in flow style: texts, numbers, true, off, nothing, lists and mappings of them."""
    if isinstance(value, str):
        return scalar(value)
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(x)}" for key, x in value.items()) + "}"
    if isinstance(value, Sequence):
        return "[" + ", ".join(map(flow, value)) + "]"
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "off", None: "null"}[value]
    return number(value)


def scalar(text: str) -> str:
    """A text, quoted and escaped where YAML or a terminal could take it for something else."""
    if _PLAIN.fullmatch(text) and yaml.safe_load(text) == text:
        return text
    shown = text.isprintable()
    return yaml.safe_dump(text, default_style='"', allow_unicode=shown, width=float("inf")).rstrip(
        "\n"
    )


def number(value: float) -> str:
    """A number with as few digits as tell it apart from others, readable by YAML 1.1 and 1.2."""
    text = repr(value)
    if isinstance(value, int) or "." in text or "e" not in text:
        return text
    digits, _, exponent = text.partition("e")
    return f"{digits}.0e{exponent}"


def why_unwritable(path: str) -> str | None:
    """Why no config can name a key of the steps; None where it can."""
    if not _STEP_PATH.fullmatch(path):
        return "a part of its path has no name, which no config can write"
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in path):
        return "its name holds control characters, which no config can write"
    if len(scalar(path)) > _LONGEST:
        return "its name is too long for a config"
    return None
