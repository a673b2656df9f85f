"""Which fields play which roles, told by their names and by what their values are."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gato_data.readers.corpora.fields import ANSWER, DEFAULT_NAMES, IMAGE, QUESTION, TEXT
from gato_data.report.describing.corpora import field_facts
from gato_data.report.describing.corpora.field_facts import FieldFacts, is_writable
from gato_data.report.describing.text_looks import why_no_language

Facts = Mapping[str, FieldFacts]

# The last part of names that say which record it is, the likeliest first.
_ID_NAMES = (
    *("id", "__key__", "uid", "uuid", "guid", "key", "doc_id", "question_id", "sample_id"),
    *("image_id", "img_id", "filename", "file_name", "index", "url"),
)
_ID_LIKE = re.compile(r"(.*_)?(id|key|uid|uuid|url|filename|file_name)")
# In questions about images, several have the same image.
_OF_IMAGE = re.compile(r"(^|[_/])(image|img|filename|file_name)([_/]|$)")


@dataclass(frozen=True)
class Choice:
    """The fields that play a role.

    Attributes:
      paths: of the fields; the first that a record has is taken.
      is_default: whether the default names find them, so that the config need not say so.
      records: numbers of the records in which they have what the role needs.
    """

    paths: tuple[str, ...]
    is_default: bool
    records: frozenset[int]

    @property
    def written(self) -> str:
        return ";".join(self.paths)


def image_choice(facts: Facts) -> Choice | None:
    """The fields of images: those with encoded ones, before the names of files."""
    for kind in (field_facts.IMAGE, field_facts.IMAGE_NAME):
        good = {path: x.with_kind(kind) for path, x in facts.items() if x.with_kind(kind)}
        if kind == field_facts.IMAGE_NAME:
            found = {path: rows for path, rows in good.items() if facts[path].images}
            # Of files that are nowhere only a name can tell that they are meant.
            named = {path: rows for path, rows in good.items() if path in DEFAULT_NAMES[IMAGE]}
            good = found or named
        writable = [path for path in good if is_writable(path)]
        chosen = _chosen(IMAGE, facts, good, sorted(writable, key=lambda path: -len(good[path])))
        if chosen is not None:
            return chosen
    return None


def text_choice(facts: Facts, takes_lists: bool) -> Choice | None:
    """The field of the text: by a default name, else the longest that reads like language."""
    good = {}
    for path, one in facts.items():
        records = one.with_kind(field_facts.TEXT)
        if not takes_lists:
            records -= {number for number, value in one.values.items() if value.filled is not None}
        is_default = path in DEFAULT_NAMES[TEXT]
        if records and (is_default or (not _is_id_like(path) and not _no_language(one))):
            good[path] = records
    # A longer text that few records have is none of the corpus.
    most = max(map(len, good.values()), default=0)
    often = [path for path in good if 2 * len(good[path]) >= most and is_writable(path)]
    longest_first = sorted(often, key=lambda path: (-facts[path].mean_characters, path))
    return _chosen(TEXT, facts, good, longest_first[:1])


def question_choices(facts: Facts) -> tuple[Choice, Choice] | None:
    """The fields of question and answer, by default names or such as hold these words."""
    answer_kinds = (field_facts.TEXT, field_facts.NUMBER)
    questions = {
        path: x.with_kind(field_facts.TEXT)
        for path, x in facts.items()
        if not x.lists and x.kind == field_facts.TEXT and not _is_id_like(path)
    }
    answers = {
        path: x.with_kind(*answer_kinds)
        for path, x in facts.items()
        if x.kind in answer_kinds and not _is_id_like(path)
    }
    question = _chosen(QUESTION, facts, questions, _called(questions, "question"))
    answer = _chosen(ANSWER, facts, answers, _called(answers, "answer"))
    return (question, answer) if question and answer else None


def id_choice(facts: Facts, records: Sequence[int], asks: bool) -> str | None:
    """A field that is named like the name of a record, and differs in all of them.

    Args:
      facts: of all fields.
      records: numbers of those that can be used.
      asks: whether records are questions about images.
    """
    named = [path for path in facts if _is_id_like(path) and is_writable(path)]
    if asks:
        named = [path for path in named if not _OF_IMAGE.search(path)]
    for path in sorted(named, key=_likeliness):
        values = facts[path].values
        found = {str(values[x].scalar) for x in records if x in values}
        names = {name for name in found if name.strip() and name != "None"}
        if len(names) == len(records) > 1:
            return path
    return None


def image_mark(facts: Facts, text: Choice, image: Choice) -> str | None:
    """What stands where the images go: a mark, or "" where texts and images are lists side by side.

    None where records are no such documents. More than half of them must be.
    """
    records = sorted(text.records & image.records)
    texts = [_value(facts, text, number) for number in records]
    images = [_value(facts, image, number) for number in records]
    both = list(zip(texts, images, strict=True))
    if 2 * sum(_are_side_by_side(x.filled, y.filled) for x, y in both) > len(both):
        return ""
    for mark in field_facts.MARKS:
        if 2 * sum(x.filled is None and x.marks.get(mark) == y.places for x, y in both) > len(both):
            return mark
    return None


def _are_side_by_side(texts: Sequence[bool] | None, images: Sequence[bool] | None) -> bool:
    if texts is None or images is None or len(texts) != len(images):
        return False
    return not any(x and y for x, y in zip(texts, images, strict=True))


def _value(facts: Facts, choice: Choice, number: int) -> field_facts.Value:
    """What a record has in the field that plays a role."""
    has = (facts[path].values.get(number) for path in choice.paths)
    return next(value for value in has if value is not None)


def _chosen(
    role: str, facts: Facts, good: Mapping[str, frozenset[int]], others: Sequence[str]
) -> Choice | None:
    """The fields with default names if they do, else others.

    Args:
      role: for which they are chosen.
      facts: of all fields.
      good: for each field that could play it, in which records.
      others: fields that may do so in place of those with default names, the best first; of several
        each adds records that those before it lack.
    """
    by_name = _by_default_names(role, facts, good)
    covered: set[int] = set()
    paths: list[str] = []
    for path in others:
        if not good[path] <= covered:
            paths.append(path)
            covered |= good[path]
    if by_name is not None:
        # Of a text that some records lack, others are no substitute: a title for a caption.
        enough = len(covered) if role == IMAGE else len(covered) / 2
        if len(by_name.records) >= enough:
            return by_name
        if role == IMAGE:
            paths = list(dict.fromkeys([*by_name.paths, *paths]))
            covered |= by_name.records
    return Choice(tuple(paths), False, frozenset(covered)) if paths else None


def _by_default_names(role: str, facts: Facts, good: Mapping[str, frozenset[int]]) -> Choice | None:
    """What the default names find, of which each record's first counts."""
    records: set[int] = set()
    taken: set[int] = set()
    paths = []
    for path in DEFAULT_NAMES[role]:
        if path not in facts:
            continue
        first = facts[path].values.keys() - taken
        taken |= first
        if first & good.get(path, frozenset()):
            paths.append(path)
            records |= first & good[path]
    return Choice(tuple(paths), True, frozenset(records)) if records else None


def _called(paths: Iterable[str], word: str) -> list[str]:
    """Fields whose names hold a word, the shortest first."""
    found = [path for path in paths if word in _last(path) and is_writable(path)]
    return sorted(found, key=lambda path: (len(path), path))[:1]


def _last(path: str) -> str:
    return path.rpartition("/")[2].lower()


def _is_id_like(path: str) -> bool:
    return _last(path) in _ID_NAMES or _ID_LIKE.fullmatch(_last(path)) is not None


def _likeliness(path: str) -> tuple[int, int, str]:
    last = _last(path)
    place = _ID_NAMES.index(last) if last in _ID_NAMES else len(_ID_NAMES)
    return (path.count("/"), place, path)


def _no_language(one: FieldFacts) -> str | None:
    return why_no_language(one.texts, is_declared=False)
