"""Opens the data sets of a build, whatever they hold."""

from gato_data.building.context import DatasetContext, Job, open_episodes
from gato_data.building.corpus_context import CorpusContext, open_corpus_context
from gato_data.config import CorpusConfig
from gato_data.tokenizers.text import TextTokenizer

# Episodes of agents, or documents of a corpus.
Context = DatasetContext | CorpusContext


def open_context(job: Job, name: str, text: TextTokenizer | None) -> Context:
    """Opens a data set and resolves everything that its config names.

    Raises:
      UsageError: the data set or the config does not fit.
    """
    dataset = job.dataset(name)
    if isinstance(dataset, CorpusConfig):
        return open_corpus_context(job, dataset, text)
    return open_episodes(job, dataset, text)
