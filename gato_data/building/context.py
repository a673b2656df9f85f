"""What a worker needs to know of one data set, opened from the config."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from gato_data.building.action_ranges import asked_ranges
from gato_data.building.layout import find_leaf, resolve_layout
from gato_data.config import (
    AnyDataset,
    Config,
    DatasetConfig,
    FieldReference,
    FilterRule,
    dataset_directory,
    resolve,
)
from gato_data.errors import ContentError, UsageError
from gato_data.readers.features import TENSOR, Leaf
from gato_data.readers.opening import open_kind
from gato_data.readers.rlds_fields import REWARD, step_path
from gato_data.readers.source import Record, Source
from gato_data.sequencing.episode import StepLayout
from gato_data.sequencing.tokens import TokenisedEpisode
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import Vocabulary


@dataclass(frozen=True)
class Job:
    """One build: what was asked for, where it is read from and written to.

    Attributes:
      config: the validated config.
      folder: that its relative paths start from.
      output: directory of the build.
      limit: episodes of each data set in a pilot, or None for all.
      text_model: path of the text model, where it is not the one that the config names.
    """

    config: Config
    folder: str
    output: str
    limit: int | None = None
    text_model: str | None = None

    def dataset(self, name: str) -> AnyDataset:
        return next(dataset for dataset in self.config.datasets if dataset.name == name)

    @property
    def model_path(self) -> str | None:
        model = self.config.vocabulary.text_model
        if self.text_model is not None:
            return self.text_model
        return resolve(self.folder, model) if model else None


@dataclass(frozen=True)
class DatasetContext:
    """A data set that is open for reading.

    Attributes:
      job: the build.
      dataset: its section of the config.
      source: its features and record files, narrowed to what the config names.
      layout: the token layout of a step.
      vocabulary: the id map.
      text: the SentencePiece model, if there is one.
      column_leaves: the leaves that become tokens.
    """

    job: Job
    dataset: DatasetConfig
    source: Source
    layout: StepLayout
    vocabulary: Vocabulary
    text: TextTokenizer | None
    column_leaves: Sequence[Leaf]

    @property
    def where(self) -> str:
        return f"data set '{self.dataset.name}'"

    @property
    def wants_action_values(self) -> bool:
        """Whether the index has to keep them, because quantiles of them are asked for."""
        asked = asked_ranges(self.dataset, self.layout.fields)
        return any(one.quantiles is not None for one in asked.values())

    def layout_json(self) -> list[dict[str, Any]]:
        """The keys of a step in token order, as the manifest describes them."""
        return self.layout.to_json()

    def metadata_leaf(self, key: str, path: str) -> Leaf:
        return find_leaf(self.where, key, path, self.source.leaves)

    def scalar(self, record: Record, key: str, reference: FieldReference | None) -> str | None:
        """The text of a task or agent; None where the config gives no reference."""
        if reference is None:
            return None
        if reference.path is None:
            return reference.literal
        return str(record.scalar(self.metadata_leaf(key, reference.path)))

    def task(self, record: Record) -> str:
        task = self.scalar(record, "task", self.dataset.task)
        return self.dataset.name if task is None else task

    def agent(self, record: Record) -> str:
        return self.scalar(record, "agent", self.dataset.agent) or ""

    @property
    def reward_leaf(self) -> Leaf | None:
        return reward_leaf(self.source.leaves)

    def tokenise(self, content: Any) -> TokenisedEpisode:
        """The episode of one record, measured.

        Raises:
          ContentError: the record cannot be used.
        """
        return self.tokenise_record(self.source.parse(content))

    def tokenise_record(self, record: Record) -> TokenisedEpisode:
        """The same of a record that is parsed already."""
        episode = record.episode(self.column_leaves, self.dataset.last_step)
        tokenised = TokenisedEpisode(episode, self.layout, self.vocabulary, self.text)
        longest = tokenised.steps.longest
        if longest > self.job.config.sequence.length:
            raise ContentError(
                f"a timestep has {longest} tokens, more than sequence.length "
                f"{self.job.config.sequence.length}: make that at least {longest}"
            )
        return tokenised


def reward_leaf(leaves: Mapping[str, Leaf]) -> Leaf | None:
    """The reward of a step, where the data set has one number a step."""
    leaf = leaves.get(step_path(REWARD))
    if leaf is None or leaf.obstacle or leaf.kind != TENSOR or leaf.dtype == "string":
        return None
    return leaf if leaf.holds_one else None


def load_text(job: Job) -> TextTokenizer | None:
    return TextTokenizer.load(job.model_path) if job.model_path else None


def open_source(dataset: DatasetConfig, folder: str) -> Source:
    """The reader of a data set's kind, opened.

    Raises:
      UsageError: there is no such data set, or it cannot be read.
    """
    return open_kind(dataset.kind, dataset_directory(dataset, folder), dataset.split)


def open_episodes(job: Job, dataset: DatasetConfig, text: TextTokenizer | None) -> DatasetContext:
    """Opens a data set of episodes and resolves everything that its config names.

    Raises:
      UsageError: the data set or the config does not fit.
    """
    source = open_source(dataset, job.folder)
    layout = resolve_layout(dataset, job.config.sequence, source.leaves)
    where = f"data set '{dataset.name}'"
    if layout.has_text and text is None:
        raise UsageError(
            f"{where}: {layout.texts[0].path} is text, but the config has no "
            "`vocabulary.text_model`. Train one with `gato-data vocab`, or leave the text out "
            "under `observation`."
        )
    context = DatasetContext(
        job,
        dataset,
        source,
        layout,
        Vocabulary(job.config.vocabulary.discrete_offset),
        text,
        tuple(source.leaves[field.path] for field in layout.fields),
    )
    reward = [] if context.reward_leaf is None else [context.reward_leaf]
    needed = [*context.column_leaves, *reward, *_referred_leaves(context)]
    return replace(context, source=source.narrowed(needed))


def _referred_leaves(context: DatasetContext) -> Iterator[Leaf]:
    """What the config names beside the layout. Raises UsageError if the data set lacks it."""
    dataset = context.dataset
    references = {
        "task": dataset.task.path if dataset.task else None,
        "agent": dataset.agent.path if dataset.agent else None,
        "episode_id": dataset.episode_id,
        "filter.order_by": dataset.filter.order_by if dataset.filter else None,
    }
    for key, path in references.items():
        if path is not None:
            yield context.metadata_leaf(key, path)
    if dataset.filter:
        for key, rule in dataset.filter.rules.items():
            yield from _rule_leaves(context, key, rule)


def _rule_leaves(context: DatasetContext, key: str, rule: FilterRule) -> Iterator[Leaf]:
    """The field that a rule names. Refuses a rule that the data set has no numbers for."""
    if isinstance(rule.successes_only, str):
        wanted = (f"{key}.successes_only", rule.successes_only)
        leaf = find_leaf(context.where, *wanted, context.source.leaves, "boolean or number")
        if leaf.dtype == "string":
            raise UsageError(
                f"{context.where}: `{key}.successes_only: {leaf.path}` is a text; name a field of "
                "booleans or numbers."
            )
        yield leaf
        return
    used = {
        "successes_only: true": rule.successes_only,
        "top_k": rule.top_k is not None,
        "relative_to_random": rule.relative_to_random is not None,
        "expert_returns": rule.expert_returns is not None,
    }
    needy = [name for name, is_used in used.items() if is_used]
    if needy and context.reward_leaf is None:
        raise UsageError(
            f"{context.where}: `{key}.{needy[0]}` needs returns, but no step has a number as "
            f"{step_path(REWARD)}. Set `successes_only` to the path of a field that marks success, "
            "or set `filter: off`."
        )
