"""The config as frozen dataclasses, with the defaults, and as the JSON of the manifest."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from gato_data.masking import masked

# Keys of a config whose values may be addresses.
_ADDRESSES = frozenset({"images", "path", "text_model"})


@dataclass(frozen=True)
class VocabularyConfig:
    """The id map: `text_model` is the path of a SentencePiece model, as written."""

    text_model: str | None = None
    discrete_offset: int = 0


@dataclass(frozen=True)
class SequenceConfig:
    """How episodes are cut into sequences of `length` tokens.

    Attributes:
      windows_per_episode: windows of each episode and pass; only `random` windows look at it.
      key_order: `key`, the literal reading of the paper, or `modality`: text, images, tensors.
    """

    length: int = 1024
    windows: Literal["cover", "random"] = "cover"
    windows_per_episode: int = 1
    align: Literal["token", "timestep"] = "token"
    passes: int = 1
    key_order: Literal["key", "modality"] = "key"


@dataclass(frozen=True)
class PromptConfig:
    """Prompt conditioning (paper, section 2.3); without `loss`, no prompt token is a target."""

    probability: float = 0.25
    from_end: float = 0.5
    length: int = 512
    loss: bool = True


@dataclass(frozen=True)
class OutputConfig:
    """Encoding of the shards.

    Attributes:
      format: of the files.
      shard_size: bytes, about, before compression.
      compression: of the buffers of Arrow files; readers unpack a whole record batch (1 MiB) for
        one sequence.
    """

    format: Literal["arrow", "tfrecord"] = "arrow"
    shard_size: int = 256 << 20
    compression: Literal["none", "lz4", "zstd"] = "none"


@dataclass(frozen=True)
class LimitsConfig:
    """Where the build gives up.

    Attributes:
      quarantine_share: the build fails if a larger share of its records cannot be used.
      record_bytes: a larger input record is refused.
    """

    quarantine_share: float = 0.01
    record_bytes: int = 1 << 30


@dataclass(frozen=True)
class MixtureConfig:
    """A training on the data sets, for which it is told how often each is repeated.

    By default the paper's: 1 M steps of 512 sequences (section 2.3).
    """

    steps: int = 1_000_000
    batch_size: int = 512


@dataclass(frozen=True)
class AssumedSize:
    """What a data set is taken to hold, where it is planned without being read.

    Attributes:
      records: episodes, documents or pairs.
      tokens: of all of them; None where pairs of one size tell.
      image_share: of image tokens among them; None where pairs of one size tell, else 0.
    """

    records: int
    tokens: float | None = None
    image_share: float | None = None


@dataclass(frozen=True)
class FieldReference:
    """Where a name comes from: the field at `path`, or `literal` for all. Exactly one is given."""

    path: str | None = None
    literal: str | None = None

    def __post_init__(self) -> None:
        if (self.path is None) == (self.literal is None):
            raise ValueError("a FieldReference has either a path or a literal.")


# A number for every task, or one for each task by its name.
TaskValues = float | Mapping[str, float]


@dataclass(frozen=True)
class FilterRule:
    """Which episodes of a task are kept; by default as in the paper, section 3.1.

    Attributes:
      expert_return_share: an episode is kept from this share of the expert return on.
      estimator: `window`, the paper's rule, or `top_mean`: the mean of as many best episodes.
      relative_to_random: the return of a random policy, from which the share is counted; None:
        from 0, as in the paper.
      expert_returns: the expert return where it is known; None: estimated.
      successes_only: True: only episodes with a return above 0 are kept, whatever the expert
        return is; the path of a field: only those that it marks as a success.
      top_k: as many best episodes are kept, whatever the expert return is.
    """

    expert_return_share: float = 0.8
    estimator: Literal["window", "top_mean"] = "window"
    # Mappings are dicts, because Beam pickles them; nobody changes them, and equal configs stay
    # hashable.
    relative_to_random: TaskValues | None = field(default=None, hash=False)
    expert_returns: TaskValues | None = field(default=None, hash=False)
    successes_only: bool | str = False
    top_k: int | None = None

    @property
    def without_meaning(self) -> tuple[str, ...]:
        """The keys that those given leave nothing to say."""
        if self.successes_only or self.top_k is not None:
            return ("expert_return_share", "estimator")
        return () if self.expert_returns is None else ("estimator",)


@dataclass(frozen=True)
class FilterConfig(FilterRule):
    """The filter of a data set.

    Attributes:
      order_by: path of the field that gives the order of collection; None: the order in the files.
      tasks: tasks with a rule of their own instead; None: every episode of the task is kept.
    """

    order_by: str | None = None
    tasks: Mapping[str, FilterRule | None] = field(default_factory=dict, hash=False)

    def rule_of(self, task: str) -> FilterRule | None:
        """The rule of a task; None keeps every episode."""
        return self.tasks.get(task, self)

    def success_field(self, task: str) -> str | None:
        """The path of the field that marks successes of a task, where its rule asks for one."""
        rule = self.rule_of(task)
        found = rule.successes_only if rule else False
        return found if isinstance(found, str) else None

    @property
    def rules(self) -> dict[str, FilterRule]:
        """All rules by their key in the config."""
        own = {f"filter.tasks.{task}": rule for task, rule in self.tasks.items() if rule}
        return {"filter": self, **own}


@dataclass(frozen=True)
class ActionRange:
    """Which values of a continuous action become -1 and 1: low and high, or quantiles.

    Attributes:
      low, high: a number for all dimensions, or one for each.
      quantiles: shares of the values of the kept training episodes, in each dimension.
      leave: dimensions that are left alone.
    """

    low: float | tuple[float, ...] | None = None
    high: float | tuple[float, ...] | None = None
    quantiles: tuple[float, float] | None = None
    leave: tuple[int, ...] = ()


@dataclass(frozen=True)
class DatasetConfig:
    """One data set. Field paths are components joined by `/`, from the root of the features.

    Attributes:
      path: a TFDS directory or a Minari data set, as written; None where `tfds` names one.
      validation: the share of episodes held out, or the names of the tasks held out.
      task: None: the data set's name.
      agent: None: all episodes come from one agent.
      episode_id: path of the field that identifies an episode; None: file name and record number.
      duplicates: what is done with an id that stands more than once: an error, or the first episode
        is kept, in the order of files and records.
      observation: None: everything under steps/observation.
      action_range: of all continuous actions, or of each by its path; None: they lie in [-1, 1].
      clip: whether actions outside their range are clipped, or refused.
      modalities: path -> modality, only where the declared feature does not say it.
      image_size: (height, width) in pixels, multiples of 16; None: as stored.
      text: whether texts of the observation stand in every timestep, or only in the first one of
        each window and prompt.
      filter: None: every episode is kept.
      weight: share of the sequences in a mixture, relative to the other data sets.
    """

    name: str
    kind: Literal["rlds", "minari"]
    path: str | None = None
    tfds: str | None = None
    split: str = "train"
    validation: float | tuple[str, ...] = 0.0
    task: FieldReference | None = None
    agent: FieldReference | None = None
    episode_id: str | None = None
    duplicates: Literal["refuse", "keep_first"] = "refuse"
    observation: tuple[str, ...] | None = None
    action: tuple[str, ...] = ("steps/action",)
    action_range: ActionRange | Mapping[str, ActionRange] | None = field(default=None, hash=False)
    clip: bool = False
    # A dict, because Beam pickles it; nobody changes it, and equal configs stay hashable.
    modalities: Mapping[str, str] = field(default_factory=dict, hash=False)
    image_size: tuple[int, int] | None = None
    image_fit: Literal["error", "resize_up", "pad", "center_crop"] = "error"
    text: Literal["every_step", "first_of_window"] = "every_step"
    last_step: Literal["drop", "keep"] = "drop"
    filter: FilterConfig | None = FilterConfig()
    weight: float = 1.0
    assumed: AssumedSize | None = None


@dataclass(frozen=True, kw_only=True)
class CorpusConfig:
    """A corpus of documents or pairs: what all kinds of them have.

    Attributes:
      path: a folder, a file or a glob, as written; None where `tfds` names a data set.
      format: of the files; None: told by their names.
      split: of a TFDS directory, or of files whose names begin with it.
      fields: role -> the paths that the field may have, with `;` between.
      validation: the share of records held out.
      duplicates: what is done with an id that stands more than once; as of episodes.
      weight: share of the sequences in a mixture, relative to the other data sets.
      assumed: what `plan --assume-sizes` takes it to hold.
    """

    name: str
    kind: str
    path: str | None = None
    tfds: str | None = None
    format: str | None = None
    split: str = "train"
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    validation: float = 0.0
    duplicates: Literal["refuse", "keep_first"] = "refuse"
    weight: float = 1.0
    assumed: AssumedSize | None = None


@dataclass(frozen=True, kw_only=True)
class TextConfig(CorpusConfig):
    """Documents of text.

    Attributes:
      documents: of plain text files, whether each is a document or each of its lines.
      pack: whether short documents share a sequence.
    """

    kind: str = "text"
    documents: Literal["file", "line"] = "file"
    pack: bool = False


@dataclass(frozen=True, kw_only=True)
class PictureConfig(CorpusConfig):
    """A corpus with images.

    Attributes:
      images: folder of images that records name; None: the folder of the files.
      image_size: (height, width) in pixels, multiples of 16; None: as stored.
      image_fit: how images of other sizes are brought to it; see `tokenizers.image.fit`.
    """

    images: str | None = None
    # 224 x 224, of which five make 980 tokens: about a sequence of 1024. The paper names no size.
    image_size: tuple[int, int] | None = (224, 224)
    image_fit: Literal["error", "resize_up", "pad", "center_crop"] = "pad"


@dataclass(frozen=True, kw_only=True)
class InterleavedConfig(PictureConfig):
    """Documents of text and images in order.

    Attributes:
      pack: whether short documents share a sequence.
      image_mark: stands where an image goes, in documents whose text is one string.
    """

    kind: str = "interleaved"
    pack: bool = False
    image_mark: str = "<image>"


# How the text of a pair is written, by kind.
TEMPLATES = {"image_text": "{text}", "question_answer": "Q: {question} A: {answer}"}
PAIR_KINDS = tuple(TEMPLATES)
CORPUS_KINDS = (*PAIR_KINDS, "text", "interleaved")


@dataclass(frozen=True, kw_only=True)
class PairsConfig(PictureConfig):
    """Images with captions, or with questions and answers (paper, section 3.2).

    Attributes:
      pairs: how many a sequence is made of.
      several: of several captions or answers, one is drawn, or all are used.
      template: the text of a pair, with {text}, or {question} and {answer}.
      loss: whether all text is a target, or only the caption or answer.
    """

    kind: Literal["image_text", "question_answer"]
    template: str
    pairs: int = 5
    several: Literal["one", "all"] = "one"
    loss: Literal["all_text", "answer"] = "all_text"


AnyDataset = DatasetConfig | CorpusConfig


@dataclass(frozen=True)
class Config:
    """What the user asked for, with every default filled in."""

    datasets: tuple[AnyDataset, ...]
    seed: int = 0
    vocabulary: VocabularyConfig = VocabularyConfig()
    sequence: SequenceConfig = SequenceConfig()
    prompt: PromptConfig = PromptConfig()
    output: OutputConfig = OutputConfig()
    limits: LimitsConfig = LimitsConfig()
    mixture: MixtureConfig = MixtureConfig()

    def to_json(self) -> dict[str, Any]:
        """The config as plain JSON, every default written out, valid by the schema.

        Equal for equal configs; holds no absolute path that the user did not write, and no password
        of an address: those are masked.
        """
        plain: dict[str, Any] = {
            section.name: _plain(getattr(self, section.name))
            for section in dataclasses.fields(self)
        }
        if self.sequence.windows == "cover":
            del plain["sequence"]["windows_per_episode"]
        for dataset in plain["datasets"]:
            if "filter" in dataset:
                dataset["filter"] = dataset["filter"] or "off"
        for place in (plain["vocabulary"], *plain["datasets"]):
            for key in _ADDRESSES & place.keys():
                place[key] = place[key] and masked(place[key])
        return plain


def _plain(value: Any) -> Any:
    """Dataclasses as dicts, tuples as lists, field references as the user writes them."""
    if isinstance(value, FieldReference):
        return value.path if value.path is not None else {"literal": value.literal}
    if isinstance(value, FilterRule):
        return _plain_rule(value)
    if isinstance(value, ActionRange):
        given = {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
        return {key: found for key, found in given.items() if found is not None}
    if dataclasses.is_dataclass(value):
        return {item.name: _plain(getattr(value, item.name)) for item in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(value[key]) for key in sorted(value)}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value


def _plain_rule(rule: FilterRule) -> dict[str, Any]:
    """Without the keys that would be refused beside the others."""
    names = [item.name for item in dataclasses.fields(rule)]
    plain = {x: _plain(getattr(rule, x)) for x in names if x not in rule.without_meaning}
    if "tasks" in plain:
        plain["tasks"] = {task: found or "off" for task, found in plain["tasks"].items()}
    return plain
