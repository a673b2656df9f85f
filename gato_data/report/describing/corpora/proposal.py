"""From what was seen of a corpus to its section of a config."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gato_data.config import CorpusConfig, PairsConfig, PictureConfig, config_from_json
from gato_data.config_types import SequenceConfig
from gato_data.errors import UsageError
from gato_data.readers.corpora.fields import ANSWER, ID, IMAGE, QUESTION, TEXT
from gato_data.readers.corpora.finding import find_files
from gato_data.readers.corpora.opening import TEXT as PLAIN_TEXT
from gato_data.readers.corpora.opening import TFDS
from gato_data.report.describing.corpora import field_facts
from gato_data.report.describing.corpora.choosing import (
    Choice,
    id_choice,
    image_choice,
    image_mark,
    question_choices,
    text_choice,
)
from gato_data.report.describing.corpora.looking import Looked, look
from gato_data.report.describing.corpora.place import CorpusPlace
from gato_data.report.describing.corpora.trial import Trial, attempt
from gato_data.report.describing.proposal import Request
from gato_data.report.describing.settings import in_words
from gato_data.report.text_page import escape, quote
from gato_data.tokenizers.text import TextTokenizer
from gato_data.wording import counted

LENGTH = SequenceConfig().length
_PAIRS = PairsConfig.pairs
_MARK = "<image>"
# Fields that a message lists.
_NAMED = 20


@dataclass(frozen=True)
class Meaning:
    """What records of a corpus are.

    Attributes:
      kind: of the config.
      why: what in the fields says so.
      roles: by role, the fields that play it.
      mark: of interleaved documents, what stands for images; "" where nothing does.
    """

    kind: str
    why: str
    roles: Mapping[str, Choice]
    mark: str = ""


@dataclass(frozen=True)
class CorpusProposal:
    """A config for one corpus.

    Attributes:
      place, request, looked: what it is for, and rests on.
      meaning: of its records.
      settings: the keys of its section but `name`, `path` and `tfds`; folders as seen from here.
      dataset: the section, with folders as seen from here.
      trial: what becomes of the records that were looked at.
      images: the folder of images, as the config names it; None: that of the files.
    """

    place: CorpusPlace
    request: Request
    looked: Looked
    meaning: Meaning
    settings: Mapping[str, Any]
    dataset: CorpusConfig
    trial: Trial
    images: str | None


def propose_corpus(
    place: CorpusPlace,
    request: Request,
    records: int,
    tokenizer: TextTokenizer | None,
    seen_from: Callable[[str], str],
) -> CorpusProposal:
    """Looks at the first records and decides.

    Args:
      place, request: what is described, and as what.
      records: how many are looked at, at most.
      tokenizer: None where there is no text model yet.
      seen_from: a path as the config names it.

    Raises:
      UsageError: there are no records, or none that a kind of corpus can use.
      OSError: reading failed.
    """
    looked = look(place, records)
    meaning = _meaning(place, looked)
    settings = _settings(place, looked, meaning)
    dataset, trial = _attempt(place, request, settings, records, tokenizer, meaning)
    if not trial.usable:
        raise UsageError(_nothing_usable(place, looked, trial, dataset))
    asks = meaning.kind == "question_answer"
    name = None if place.format == PLAIN_TEXT else id_choice(looked.fields, trial.usable, asks)
    if name is not None:
        fields = {**dataset.fields, ID: name}
        settings, dataset = {**settings, "fields": fields}, replace(dataset, fields=fields)
    if isinstance(dataset, PairsConfig) and looked.total == looked.records:
        pairs = min(_PAIRS, len(trial.usable))
        if pairs < _PAIRS:
            settings, dataset = {**settings, "pairs": pairs}, replace(dataset, pairs=pairs)
    images = settings.get("images")
    return CorpusProposal(
        place=place,
        request=request,
        looked=looked,
        meaning=meaning,
        settings=settings,
        dataset=dataset,
        trial=trial,
        images=None if images is None else seen_from(images),
    )


def _meaning(place: CorpusPlace, looked: Looked) -> Meaning:
    """Tells the kind by the fields.

    Raises:
      UsageError: no kind has such fields.
    """
    facts = looked.fields
    image = image_choice(facts)
    asked = question_choices(facts)
    text = text_choice(facts, takes_lists=image is not None)
    if image is not None and asked is not None:
        question, answer = asked
        why = f"an image ({_named(image)}), a question ({_named(question)}) and an answer"
        roles = {IMAGE: image, QUESTION: question, ANSWER: answer}
        also = ""
        if text is not None and text.is_default:
            also = f"; its text ({_named(text)}) would do for image_text"
        return Meaning("question_answer", f"{why} ({_named(answer)}){also}", roles)
    if image is not None and text is not None:
        roles = {IMAGE: image, TEXT: text}
        mark = image_mark(facts, text, image)
        both = f"{_named(text)} and {_named(image)}"
        if mark is None:
            why = f"an image ({_named(image)}) and a text ({_named(text)})"
            return Meaning("image_text", why, roles)
        if mark:
            why = f"a text ({_named(text)}) with {quote(mark)} for each image ({_named(image)})"
        else:
            why = f"lists of texts and images of one length ({both})"
        return Meaning("interleaved", why, roles, mark)
    if image is None and text is not None:
        why = "no image" if len(facts) > 1 else "nothing else"
        return Meaning("text", f"a text ({_named(text)}), and {why}", {TEXT: text})
    raise UsageError(_no_kind(place, looked, image))


def _named(choice: Choice) -> str:
    return " or ".join(map(escape, choice.paths))


def _settings(place: CorpusPlace, looked: Looked, meaning: Meaning) -> dict[str, Any]:
    """The keys of the section that differ from their defaults."""
    settings: dict[str, Any] = {"kind": meaning.kind}
    if place.split is not None and place.split != "train":
        settings["split"] = place.split
    fields = {role: x.written for role, x in meaning.roles.items() if not x.is_default}
    if fields:
        settings["fields"] = fields
    if IMAGE in meaning.roles and looked.images not in (None, _folder(place)):
        settings["images"] = looked.images
    if meaning.kind == "text" and looked.documents != "file":
        settings["documents"] = looked.documents
    if meaning.mark and meaning.mark != _MARK:
        settings["image_mark"] = meaning.mark
    return settings


def _folder(place: CorpusPlace) -> str:
    """In which images are looked for without a word in the config."""
    return find_files(place.directory).directory


def _attempt(
    place: CorpusPlace,
    request: Request,
    settings: dict[str, Any],
    records: int,
    tokenizer: TextTokenizer | None,
    meaning: Meaning,
) -> tuple[CorpusConfig, Trial]:
    """The section, and what becomes of records under it; spells out fields if that is needed."""
    dataset = _dataset(place, request, settings)
    try:
        return dataset, attempt(dataset, records, LENGTH, tokenizer)
    except UsageError:
        # Among the default names may be one of a field that cannot be read.
        settings["fields"] = {role: x.written for role, x in meaning.roles.items()}
        dataset = _dataset(place, request, settings)
        return dataset, attempt(dataset, records, LENGTH, tokenizer)


def _dataset(place: CorpusPlace, request: Request, settings: Mapping[str, Any]) -> CorpusConfig:
    """The section as `plan` would have it, but for where it starts paths from."""
    format = {"format": TFDS} if place.format == TFDS else {}
    section = {"name": request.name, "path": place.directory, **format, **settings}
    config = config_from_json(
        {"vocabulary": {"text_model": request.text_model}, "datasets": [section]}
    )
    (dataset,) = config.datasets
    assert isinstance(dataset, CorpusConfig)
    return dataset


def _no_kind(place: CorpusPlace, looked: Looked, image: Choice | None) -> str:
    where = f"{place.directory}: {_no_episodes(place)}"
    if not looked.records:
        return f"{where}no record could be looked at: its files hold none. Write them again."
    if not looked.fields:
        fault = escape(looked.fault or "they have no fields")
        return (
            f"{where}none of the {counted(looked.records, 'record')} looked at can be read as "
            f"{place.format}: {fault}. Files of another format need names that say so."
        )
    shown = [
        f"{escape(path)} ({x.kind})"
        for path, x in looked.fields.items()
        if x.values and x.kind != field_facts.MAPPING
    ]
    has = ", ".join(shown[:_NAMED]) + ", …" * (len(shown) > _NAMED)
    lacks = "images, but no text" if image else "no text"
    return (
        f"{where}its records have {lacks}, so no kind of corpus fits. Fields of the "
        f"{counted(looked.records, 'record')} looked at: {has or 'none with a value'}. Texts of "
        "paths, ids or JSON do not count. If one of the fields is the text, name it by "
        "`fields: {text: …}` in a config of your own."
    )


def _no_episodes(place: CorpusPlace) -> str:
    """What to say first of a directory that TFDS wrote, as most of those hold episodes."""
    return "it has no `steps`, so it is no RLDS data set; " if place.format == TFDS else ""


def _nothing_usable(place: CorpusPlace, looked: Looked, trial: Trial, dataset: CorpusConfig) -> str:
    (reason, count), *_ = Counter(x.reason for x in trial.faults).most_common(1)
    first = next(x for x in trial.faults if x.reason == reason)
    advice = ""
    if isinstance(dataset, PictureConfig) and looked.images is None:
        names = [x for x in looked.fields.values() if x.values and x.kind == field_facts.IMAGE_NAME]
        if names and not any(x.images for x in looked.fields.values()):
            where = in_words([_folder(place), "the folders in and beside it"])
            advice = (
                f" Images such as {quote(names[0].texts[0])} are not in {where}: put them there, "
                "or write a config with `images: FOLDER`."
            )
    return (
        f"{place.directory}: none of the {counted(len(trial.faults), 'record')} looked at can be "
        "used as "
        f"{dataset.kind}: {count} because {escape(reason)} (such as {escape(first.place)}).{advice}"
    )
