"""Hides what opens a store, wherever something is written or printed.

Addresses may hold names and passwords (`https://user:password@host`, `s3://key:secret@bucket`),
and signatures (`?X-Amz-Signature=…`); options of Beam may hold keys. They are of no use to who
reads a manifest, a log or a message, and a manifest goes wherever its data go.
"""

import re
from collections.abc import Sequence

MASK = "***"

# Words in names of what is secret, or tells half of it; inside of addresses more names count.
_SECRET = (
    r"secret|passw(?:or)?d|passphrase|credential|access[_-]?key|account[_-]?key|private[_-]?key"
    r"|api[_-]?key|session[_-]?token|security[_-]?token|auth[_-]?token|connection[_-]?string"
    r"|shared[_-]?access[_-]?signature"
)
_IN_ADDRESS = rf"{_SECRET}|signature|\bsig\b|token|\bkey\b|\bauth\b|\bpwd\b|googleaccessid"
_VALUE = r"[^&;\s'\"`<>|)\]]"
_USER = re.compile(
    r"([a-z][a-z0-9+.-]{0,30}://)"
    # A secret may hold slashes that nobody escaped; after the number of a port comes a path.
    r"(?:[^/\s:@'\"`]*:(?!\d{1,5}/)[^\s@'\"`]*|[^/\s@'\"`]*)@",
    re.IGNORECASE,
)
_PARAMETER = re.compile(rf"([?&;#][\w.-]*(?:{_IN_ADDRESS})[\w.-]*=){_VALUE}+", re.IGNORECASE)
_NAMED = re.compile(
    rf"((?<!\w)[\w.-]*(?:{_SECRET})[\w.-]*(?:=|['\"]\s*:\s)['\"]?){_VALUE}+", re.IGNORECASE
)
# Options of Beam whose value is secret, as `--name=value`, or `--name value`.
_OPTION = re.compile(rf"--[\w-]*(?:{_SECRET}|token)[\w-]*", re.IGNORECASE)


def masked(text: str) -> str:
    """The text with names, passwords and signatures of addresses, and values of keys, as `***`.

    What is masked already stays as it is.
    """
    if "://" in text:
        text = _PARAMETER.sub(rf"\1{MASK}", _USER.sub(rf"\1{MASK}@", text))
    if "=" in text or ": " in text:
        text = _NAMED.sub(rf"\1{MASK}", text)
    return text


def masked_arguments(arguments: Sequence[str]) -> list[str]:
    """A command line with the values of secret options as `***`, and its addresses masked."""
    found: list[str] = []
    is_secret = False
    for argument in arguments:
        name, equals, _ = argument.partition("=")
        if is_secret and not argument.startswith("--"):
            found.append(MASK)
            is_secret = False
            continue
        is_secret = _OPTION.fullmatch(name) is not None and not equals
        is_given = _OPTION.fullmatch(name) is not None and bool(equals)
        found.append(f"{name}={MASK}" if is_given else masked(argument))
    return found


def is_masked(address: str) -> bool:
    """Whether an address lacks what opens it, because it was written down without that."""
    return f"://{MASK}@" in address or f"={MASK}" in address
