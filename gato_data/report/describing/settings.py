"""A key of the config with its value, and what there is to say about it."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Alternative:
    """Another value, written as a comment that may be uncommented."""

    value: Any
    why: str


@dataclass(frozen=True)
class Setting:
    """A key of a data set's section.

    Attributes:
      key: its name.
      value: None where the key is not written.
      why: a note on the value.
      warnings: what people should look at.
      alternatives: other values.
    """

    key: str
    value: Any = None
    why: str = ""
    warnings: tuple[str, ...] = ()
    alternatives: tuple[Alternative, ...] = ()


def in_words(parts: list[str]) -> str:
    """a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def short_number(value: float) -> str:
    """A number as people read it: four digits."""
    return f"{value + 0.0:.4g}"  # the sum has no -0


def short_range(low: float, high: float, between: str = "…") -> str:
    """Two numbers as people read them, or one where they are equal; in full to tell them apart."""
    if low == high:
        return short_number(low)
    shown = [short_number(low), short_number(high)]
    if shown[0] == shown[1]:
        shown = [repr(float(low)), repr(float(high))]
    return f" {between} ".join(shown)
