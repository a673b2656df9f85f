"""JSON documents that hold a checksum of themselves, by which every changed byte is noticed."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_CHECKSUM = "checksum"


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """The document with a SHA-256 of everything else as its `checksum`."""
    rest = {key: value for key, value in content.items() if key != _CHECKSUM}
    return rest | {_CHECKSUM: hashlib.sha256(_encode(rest)).hexdigest()}


def encode_sealed(content: Mapping[str, Any]) -> bytes:
    """The bytes of the file, sealed, with sorted keys."""
    return _encode(seal(content))


def is_sealed(data: bytes) -> bool:
    """Whether these are the bytes that `encode_sealed` gives for what they say."""
    try:
        content = json.loads(data)
        return isinstance(content, dict) and encode_sealed(content) == data
    except (ValueError, RecursionError):
        return False


def _encode(content: Mapping[str, Any]) -> bytes:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, indent=1)
    # Names of files need not be text. What JSON writes for a byte that is none has this form, too.
    return text.encode(errors="backslashreplace")
