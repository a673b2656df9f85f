"""Describes a corpus: looks at its first records, and writes a commented config."""

from collections.abc import Callable

from gato_data.report.describing.corpora.page import corpus_page, corpus_warnings
from gato_data.report.describing.corpora.place import CorpusPlace
from gato_data.report.describing.corpora.proposal import propose_corpus
from gato_data.report.describing.page import Commands
from gato_data.report.describing.proposal import Request
from gato_data.tokenizers.text import TextTokenizer


def describe_corpus(
    place: CorpusPlace,
    request: Request,
    commands: Commands,
    records: int,
    tokenizer: TextTokenizer | None,
    seen_from: Callable[[str], str],
) -> tuple[str, list[str]]:
    """The text of a config, and its warnings. See `describe` for what is raised.

    Args:
      place: of the corpus.
      request, commands: what the user asked for.
      records: how many are looked at, at most.
      tokenizer: of the text model; None: there is none yet.
      seen_from: a path as the config names it.
    """
    proposal = propose_corpus(place, request, records, tokenizer, seen_from)
    return corpus_page(proposal, commands), corpus_warnings(proposal, commands)
