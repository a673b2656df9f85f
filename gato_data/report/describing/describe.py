"""`gato-data describe`: a data set in, a commented config out."""

import os
import re
from dataclasses import dataclass
from functools import partial

from gato_data.errors import UsageError
from gato_data.report.describing.corpora.describe import describe_corpus
from gato_data.report.describing.corpora.place import CorpusPlace, corpus_at
from gato_data.report.describing.gathering import gather
from gato_data.report.describing.location import locate
from gato_data.report.describing.page import Commands, page, warnings
from gato_data.report.describing.proposal import Request, propose
from gato_data.schema_files import read_schema
from gato_data.storage import files
from gato_data.tokenizers.text import TextTokenizer

# Enough to see ranges and lengths; a few seconds of reading, even of films.
EPISODES = 20


@dataclass(frozen=True)
class Description:
    """A page and what deserves a look.

    Attributes:
      config: the text of a YAML file.
      warnings: those that stand in it, each in one line.
    """

    config: str
    warnings: list[str]


def describe(
    path: str,
    output: str | None = None,
    episodes: int = EPISODES,
    name: str | None = None,
    text_model: str | None = None,
    split: str | None = None,
) -> Description:
    """Describes a data set; writes nothing.

    Args:
      path: as `corpus_at` and `locate` take it.
      output: the file that the config is meant for; its paths are relative to that file's folder.
        None: the current folder.
      episodes: how many are read, at most; of a corpus, records.
      name: of the data set in the config; None: its own.
      text_model: a SentencePiece model, if there is one already.
      split: None: train, or the first one.

    Raises:
      UsageError: there is no such data set, no such model, or the name is none.
    """
    tokenizer = TextTokenizer.load(text_model) if text_model else None
    location = corpus_at(path, split) or locate(path, split)
    if name is not None:
        _check_name(name)
    name = name or location.name
    folder = _folder_of(output)
    model = text_model or files.join(folder, f"{name}.model")
    request = Request(
        name=name,
        path=_seen_from(folder, location.directory),
        text_model=_seen_from(folder, model) if text_model else f"{name}.model",
        has_model=tokenizer is not None,
    )
    for written in (request.path, request.text_model):
        _check_writable(written)
    commands = Commands(path, location.directory, output or f"{name}.yaml", model)
    if isinstance(location, CorpusPlace):
        seen_from = partial(_seen_from, folder)
        return Description(
            *describe_corpus(location, request, commands, episodes, tokenizer, seen_from)
        )
    found = propose(gather(location.open(), episodes, tokenizer), location, request)
    return Description(page(found, commands), warnings(found, commands))


def _check_name(name: str) -> None:
    schema = read_schema("config.schema.json")["$defs"]["dataset"]["properties"]["name"]
    if not re.search(schema["pattern"], name) or not name.isprintable():
        raise UsageError(f"--name {name!r} is no name of a data set: {schema['description']}.")


def _check_writable(path: str) -> None:
    if not path.isprintable():
        raise UsageError(
            f"{path!r}: no config can name this path, as it holds control characters. Rename it."
        )


def _folder_of(output: str | None) -> str:
    """The folder that relative paths start from."""
    return "" if output is None else files.parent_of(output)


def _seen_from(folder: str, path: str) -> str:
    """A path as a config in `folder` names it."""
    if files.is_remote(path):
        return path
    if files.is_remote(folder):
        return os.path.abspath(path)
    if not folder:
        return path
    # `..` leads up from where a folder really is, not from where a link to it stands.
    target = os.path.realpath(path) if ".." in path.split(os.sep) else os.path.abspath(path)
    return os.path.relpath(target, os.path.realpath(folder))
