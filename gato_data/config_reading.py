"""YAML text -> plain values and the line of each: the part of a config that knows no key.

Only plain data is read: mappings with text keys, lists, texts, decimal numbers, true and false,
nothing. YAML's traps are refused instead of guessed: a key given twice, `010` (octal), `1:30`
(base 60), `.nan`, tags that build objects, documents whose aliases multiply into a flood.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

KeyPath = tuple[str | int, ...]

# A config of the paper's 604 tasks with every key written out has 200 KB, 25,000 values, depth 5.
MAX_BYTES = 1 << 20
MAX_VALUES = 100_000
MAX_DEPTH = 16
# Manifests and readers in other languages hold integers of 64 bits.
_INTEGER_LIMIT = 2**63

_TAG = "tag:yaml.org,2002:"
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9_]{0,30})")
# YAML 1.1 takes 1e-3 for a text, because it has no point; YAML 1.2 and people take it for a number.
_EXPONENT = re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+")
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


@dataclass(frozen=True)
class Problem:
    """What is wrong with the value at `key`; `line` where it is not the line of `key` itself."""

    key: KeyPath
    text: str
    line: int | None = None


@dataclass(frozen=True)
class Document:
    """A YAML document as plain values.

    Attributes:
      value: dicts with text keys, lists, str, int, float, bool, None.
      lines: the line, from 1, of every key and list item of `value`; of the document at ().
      problems: what was refused; None stands for those values in `value`.
    """

    value: Any
    lines: dict[KeyPath, int]
    problems: tuple[Problem, ...]


class DocumentError(Exception):
    """The text cannot be read as one YAML document at all."""

    def __init__(self, text: str, line: int) -> None:
        super().__init__(text)
        self.text = text
        self.line = line


def read_document(data: bytes) -> Document:
    """Reads one YAML document.

    Raises:
      DocumentError: broken syntax or encoding, more than one document, too large or too deep.
    """
    node = _compose(data)
    if node is None:
        return Document(None, {(): 1}, ())
    builder = _Builder()
    value = builder.build(node, ())
    return Document(value, {(): _line(node), **builder.lines}, tuple(builder.problems))


class _ShallowLoader(yaml.SafeLoader):
    """Composes nodes, and stops at a depth that no config has before Python's stack does."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise DocumentError(_TOO_DEEP, self.peek_event().start_mark.line + 1)
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


_TOO_DEEP = f"values are nested more than {MAX_DEPTH} levels deep. A config has five levels."
_TOO_MANY = f"there are more than {MAX_VALUES} values, aliases counted wherever they are used."


def _compose(data: bytes) -> yaml.Node | None:
    if len(data) > MAX_BYTES:
        raise DocumentError(f"the file is larger than {MAX_BYTES} bytes. This is no config.", 1)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DocumentError("this is no UTF-8 text. Save the file as UTF-8.", line) from None
    loader = None
    try:
        loader = _ShallowLoader(text)
        node: yaml.Node | None = loader.get_single_node()
        return node
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise DocumentError(
            f"this is not valid YAML: {what}.", mark.line + 1 if mark else 1
        ) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise DocumentError("the character here is not allowed in YAML.", line) from None
    except ValueError:  # PyYAML's own conversions, such as the escape \U00110000
        line = loader.line + 1 if loader else 1
        raise DocumentError("this is not valid YAML: an escape or directive.", line) from None


@dataclass
class _Builder:
    """Walks the nodes of one document; counts values, so that aliases cannot multiply."""

    lines: dict[KeyPath, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    values: int = 0

    def build(self, node: yaml.Node, key: KeyPath) -> Any:
        self._count(node, len(key))
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, key)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            for index, item in enumerate(node.value):
                self.lines[*key, index] = _line(item)
            return [self.build(item, (*key, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            try:
                return _scalar(node)
            except ValueError as error:
                self._refuse(node, key, str(error))
        else:
            self._refuse(node, key, f"the tag {node.tag} is not read here. Remove it.")
        return None

    def _mapping(self, node: yaml.MappingNode, key: KeyPath) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for name, line, value_node in self._entries(node, key, 0):
            self.lines[*key, name] = line
            result[name] = self.build(value_node, (*key, name))
        return result

    def _entries(
        self, node: yaml.MappingNode, key: KeyPath, depth: int
    ) -> Iterator[tuple[str, int, yaml.Node]]:
        """The entries of a mapping, then those that it inherits by `<<` and does not override."""
        seen: dict[str, int] = {}
        inherited: list[yaml.MappingNode] = []
        for name_node, value_node in node.value:
            self._count(name_node, depth)
            line = _line(name_node)
            if name_node.tag == _TAG + "merge":
                parents = value_node.value if _is_sequence(value_node) else [value_node]
                inherited += [item for item in parents if isinstance(item, yaml.MappingNode)]
                if not all(isinstance(item, yaml.MappingNode) for item in parents):
                    self._refuse(name_node, key, "<< takes a mapping, or a list of mappings.")
            elif name_node.tag != _TAG + "str":
                self._refuse(name_node, key, f"{_shown(name_node)} is no key. Keys are texts.")
            elif name_node.value in seen:
                first = seen[name_node.value]
                text = f"the key is given twice, first in line {first}. Remove one of the two."
                self.problems.append(Problem((*key, name_node.value), text, line))
            else:
                seen[name_node.value] = line
                yield name_node.value, line, value_node
        for parent in inherited:
            for name, line, value_node in self._entries(parent, key, depth + 1):
                if name not in seen:
                    seen[name] = line
                    yield name, line, value_node

    def _count(self, node: yaml.Node, depth: int) -> None:
        # A long text counts as several values, so that aliases cannot multiply it either.
        self.values += 1 + (len(node.value) // 100 if isinstance(node, yaml.ScalarNode) else 0)
        if self.values > MAX_VALUES:
            raise DocumentError(_TOO_MANY, _line(node))
        if depth > MAX_DEPTH:
            raise DocumentError(_TOO_DEEP, _line(node))

    def _refuse(self, node: yaml.Node, key: KeyPath, text: str) -> None:
        self.problems.append(Problem(key, text, _line(node)))


def _scalar(node: yaml.ScalarNode) -> Any:
    """The plain value of a scalar; ValueError with the reason where there is none."""
    tag, text = node.tag.removeprefix(_TAG), node.value
    plain = node.style is None
    if tag == "float" or (tag == "str" and plain and _EXPONENT.fullmatch(text)):
        return _finite(text)
    if tag in ("str", "timestamp"):  # an unquoted date is a text like any other
        if _UNPRINTABLE.search(text):
            raise ValueError(
                f"{text[:40]!r} has a line break or another control character. Write one line."
            )
        return text
    if tag == "int":
        if not _DECIMAL.fullmatch(text):
            raise ValueError(f"{text[:40]} is no decimal number. Write it with the digits 0 to 9.")
        number = int(text.replace("_", ""))
        if not -_INTEGER_LIMIT <= number < _INTEGER_LIMIT:
            raise ValueError(f"{text[:40]} does not fit into 64 bits. Write a smaller number.")
        return number
    if tag == "bool" and text.lower() in yaml.SafeLoader.bool_values:
        return yaml.SafeLoader.bool_values[text.lower()]
    if tag == "null":
        return None
    raise ValueError(f"{text[:40]!r} as {node.tag} is not read here. Write it plainly.")


def _finite(text: str) -> float:
    try:
        number = float(text.replace("_", ""))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no finite decimal number. Write one such as 0.25.")
    return number


def _is_sequence(node: yaml.Node) -> bool:
    return isinstance(node, yaml.SequenceNode)


def _shown(node: yaml.Node) -> str:
    if isinstance(node, yaml.ScalarNode):
        return f"`{node.value[:40]}` ({node.tag.removeprefix(_TAG)})"
    return "a list or mapping"


def _line(node: yaml.Node) -> int:
    line: int = node.start_mark.line + 1
    return line
