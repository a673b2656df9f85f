"""JSON out of files that anybody may have written: a value that can be used, or a ContentError."""

import json
import re
from typing import Any

import orjson

from gato_data.errors import ContentError

# Lists and mappings inside each other. Python's own limit depends on how deep the caller is in
# calls, so that a record could be good in one place and not in another.
_DEEPEST = 100
_TOO_DEEP = f"its JSON is nested more than {_DEEPEST} deep"
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
# From here on `orjson` may write an integer as a float.
_LARGE = 2.0**63


def decode(data: bytes) -> str:
    """A text. Raises ContentError, which names the byte, if it is no UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise ContentError(
            f"it is no UTF-8: byte 0x{data[error.start]:02x} at position {error.start} "
            f"({error.reason})"
        ) from None


def parse(data: bytes) -> Any:
    """The value that a JSON text stands for, as Python's `json` takes it (NaN, equal keys).

    Raises:
      ContentError: it is no JSON in UTF-8, is nested too deep, has a number of too many digits, or
        a lone half of a surrogate pair, which no UTF-8 can hold.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _parse_slowly(data)
    return value if _is_plain(value) else _parse_slowly(data)


def _parse_slowly(data: bytes) -> Any:
    """As `parse`, by `json` itself: what `orjson` refuses may be good, or has to be explained."""
    text = decode(data)
    try:
        value = json.loads(text)
        if data.count(b"[") + data.count(b"{") > _DEEPEST and _is_deeper(value):
            raise ContentError(_TOO_DEEP)
        if _SURROGATE.search(data):
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        raise ContentError(
            f"it is no JSON: {error.msg.removesuffix(' at')} at character {error.pos}"
        ) from None
    except UnicodeEncodeError:
        raise ContentError("it has an escaped half of a surrogate pair without the other") from None
    except RecursionError:
        raise ContentError(_TOO_DEEP) from None
    except ValueError:  # sys.get_int_max_str_digits
        raise ContentError("it has a number of more digits than can be read") from None
    return value


def _is_plain(value: Any) -> bool:
    """Whether `json` surely gives the same: no depth, and no float where it may have an integer."""
    level = [value]
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
            elif isinstance(item, float) and abs(item) >= _LARGE:
                return False
        if not inner:
            return True
        level = inner
    return False


def _is_deeper(value: Any) -> bool:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            inner
            for outer in level
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return False
    return True


def parse_object(data: bytes) -> dict[str, Any]:
    """A JSON object. Raises ContentError as `parse`, and for any other value."""
    value = parse(data)
    if not isinstance(value, dict):
        raise ContentError(f"it is no JSON object, but {type(value).__name__}")
    return value
