"""The fields of a record of a corpus: which are asked for, and how they are found.

A role (`text`, `image`, `question`, `answer`, `id`) names what a field is for. The config says by
which names it goes, several where a data set is not uniform: `jpg;png;webp`, as WebDataset writes
it; the first one that a record has is taken. A path such as `captions/text` leads into mappings,
and through lists: it gives the texts of all captions.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import google_crc32c

from gato_data.errors import ContentError

# What a record has under the roles that are asked for: texts, numbers, encoded images (bytes), and
# lists of them.
Fields = Mapping[str, Any]

IMAGE, TEXT, QUESTION, ANSWER, ID = "image", "text", "question", "answer", "id"

# By which names the roles go, where the config does not say. In this order: what our own formats
# and TFDS, WebDataset, 🤗 Datasets and the JSON of VQA and COCO write.
DEFAULT_NAMES: Mapping[str, tuple[str, ...]] = {
    IMAGE: ("image", "jpg", "jpeg", "png", "webp", "images", "json/image"),
    TEXT: (
        "text",
        "txt",
        "caption",
        "captions/text",
        "captions",
        "content",
        "texts",
        "json/text",
        "json/caption",
        "json/captions",
    ),
    QUESTION: ("question", "json/question"),
    ANSWER: ("answer", "answers/answer", "answers", "json/answer", "json/answers"),
}


@dataclass(frozen=True)
class Wanted:
    """The fields that are asked for.

    Attributes:
      roles: by role, the paths that the field may have, the first one present is taken.
    """

    roles: Mapping[str, tuple[str, ...]]

    @property
    def columns(self) -> frozenset[str]:
        """Names of the top-level fields that any of the paths begin with."""
        return frozenset(path.split("/")[0] for paths in self.roles.values() for path in paths)


def pick(record: Mapping[str, Any], wanted: Wanted) -> dict[str, Any]:
    """What a record has under each role.

    Raises:
      ContentError: it lacks one; says what it has instead.
    """
    found = {}
    for role, paths in wanted.roles.items():
        values = (lookup(record, path) for path in paths)
        found[role] = next((value for value in values if value is not None), None)
        if found[role] is None:
            empty = [path for path in paths if path.split("/")[0] in record]
            if empty:
                raise ContentError(f"it has no {role}: its field {_named(empty[0])} is null")
            names = ", ".join(map(_named, sorted(record, key=str)[:_NAMED])) or "nothing"
            raise ContentError(
                f"it has no {role}: no field {' or '.join(paths)} (it has {names[:_SHOWN]})"
            )
    return found


# Fields and characters of them that a message lists.
_NAMED, _SHOWN = 20, 300


def _named(field: Any) -> str:
    """A field's name for one line of a message: anybody may have written it."""
    name = str(field)
    return name if name.isprintable() else repr(name)


def lookup(record: Any, path: str) -> Any:
    """The value at a path, or None. A list on the way gives a list, without what is missing.

    A name that has a slash itself, as `image/filename` of COCO, goes before a path.
    """
    if isinstance(record, list):
        found = [lookup(item, path) for item in record]
        return [item for item in found if item is not None] or None
    if not isinstance(record, Mapping):
        return None
    if path in record:
        return record[path]
    name, is_path, rest = path.partition("/")
    return lookup(record[name], rest) if is_path and name in record else None


def checksum(values: Any) -> int:
    """CRC32C of values, for formats whose records are no run of bytes: the same for equal values.

    Args:
      values: texts, numbers, bytes, None, lists and mappings of them by name; of whatever else a
        column of a table may hold, such as times, what `str` says counts.
    """
    text = json.dumps(_plain(values), sort_keys=True, default=_written)
    return int(google_crc32c.value(text.encode()))


def _plain(value: Any) -> Any:
    """A value without bytes; lists begin with a word, so that none looks like one for bytes."""
    if isinstance(value, bytes):
        return ["bytes", len(value), google_crc32c.value(value)]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return ["list", *(_plain(item) for item in value)]
    return value


def _written(value: Any) -> list[str]:
    return [type(value).__name__, str(value)]
