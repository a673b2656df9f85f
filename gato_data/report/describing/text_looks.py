"""What a text looks like: language, a path, JSON, an identifier. Only `describe` guesses so."""

import json
import re
from collections.abc import Callable, Iterable, Sequence

_FILE = re.compile(
    r"\.(npy|npz|h5|hdf5|pkl|pickle|json|jsonl|txt|csv|yaml|mp4|avi|jpe?g|png|gif|svo|bag|mcap|zarr|"
    r"parquet|arrow|tfrecords?)([-_0-9].*)?$",
    re.IGNORECASE,
)
_PATH_START = re.compile(r"(/|~/|\.{1,2}/|[A-Za-z]:[\\/]|[a-z][a-z0-9+]{1,9}://)")
_DATE = re.compile(r"(19|20)\d\d[-_/.]?[01]\d[-_/.]?[0-3]\d([T _-].*)?")
_SPACE = re.compile(r"\s")


def is_path(text: str) -> bool:
    """Whether a text looks like a path, an address, or the name of a file."""
    if _PATH_START.match(text) or _FILE.search(text):
        return True
    return ("/" in text or "\\" in text) and not _SPACE.search(text)


def is_json(text: str) -> bool:
    """Whether a text is a JSON list or object; a cut one counts by its first characters."""
    start = text.lstrip()[:2]
    if start[:1] not in ("{", "["):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return start in ('{"', '["', "[{", "[[")
    return True


def is_identifier(text: str) -> bool:
    """Whether a text is one word with digits, such as episode_000123 or 3f2a9c."""
    return not _SPACE.search(text) and any(character.isdigit() for character in text)


def is_date(text: str) -> bool:
    """Whether a text starts as a date does that sorts like one: year, month, day."""
    return _DATE.fullmatch(text) is not None


def has_words(text: str) -> bool:
    return any(character.isalpha() for character in text)


def is_printable(text: str) -> bool:
    return all(character.isprintable() or character in "\n\t" for character in text)


def why_no_language(texts: Iterable[str], is_declared: bool) -> str | None:
    """Why texts are nothing that an agent reads; None where they seem to be.

    Args:
      texts: some of the values.
      is_declared: whether their feature is a Text; only what has nothing to do with words is then
        refused.
    """
    found = [text for text in texts if text]
    if not found:
        return "it is empty"
    if _most(found, is_path):
        return "it looks like paths"
    if _most(found, is_json):
        return "it looks like JSON"
    if is_declared:
        return None
    if not all(map(is_printable, found)):
        return "it holds control characters"
    if not any(map(has_words, found)):
        return "it holds no words"
    if _most(found, is_identifier):
        return "it looks like identifiers"
    return None


def _most(texts: Sequence[str], looks: Callable[[str], bool]) -> bool:
    return 2 * sum(map(looks, texts)) > len(texts)
