"""Data sets of any size for the planner: real directories and index files, of data nobody recorded.

Input files have a size and no bytes on disk; what the planner reads of them, their index, is
there in full: locators, ids, tasks, lengths and returns, drawn with a realistic spread. The data
sets, how many episodes and tokens they have, and which share of the tokens are images, are those
that a config assumes (`configs/gato_table1.yaml`).
"""

import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import sentencepiece
import xxhash
import yaml

from benchmarks import data
from gato_data.building.context import DatasetContext, Job
from gato_data.building.index import INDEX_SCHEMA, IndexedFile, index_path, summary_metadata
from gato_data.building.steps import open_datasets
from gato_data.config import AssumedSize, DatasetConfig, load_config

# Tasks of the data sets in Table 1 of the paper; of others it is one.
TASKS = {
    "dm_lab": 254,
    "ale_atari": 51,
    "ale_atari_extended": 28,
    "babyai": 46,
    "dm_control_suite": 30,
    "dm_control_suite_pixels": 28,
    "dm_control_suite_random_small": 26,
    "dm_control_suite_random_large": 26,
    "meta_world": 45,
    "procgen": 16,
    "modular_rl": 38,
    "dm_manipulation_playground": 4,
}
# These are told in words, which stand in every step.
WITH_TEXT = ("babyai", "playroom")
_TEXT_TOKENS = 8
# A frame of 64 x 64: 16 patches, and about as many bytes as a JPEG.
_IMAGE_TOKENS, _IMAGE_BYTES = 16, 2500
# Of a step without images: a half-cheetah, whose 17 + 6 numbers and separator are 24 tokens.
_STATE, _ACTIONS = 17, 6
_NUMBER_BYTES = 4
# Reward, discount and three flags of a step, and what holds them together.
_STEP_BYTES = 10
# About what TFDS makes the files of a large data set.
FILE_BYTES = 512 << 20
# The default.
SHARD_SIZE = 256 << 20
# Lengths of episodes are lognormal with this deviation: a tenth is 1.9 times the median or more.
_SPREAD = 0.5
_FAILURES = 0.03
_FAULTS = 1e-4
# Rows that are drawn at once.
_ROWS = 1 << 18


@dataclass(frozen=True)
class Shape:
    """What the episodes of a data set look like.

    Attributes:
      name: of the data set.
      episodes: how many.
      steps: of an episode, on average.
      image, state, actions, text: tokens of a step.
      tasks: how many.
    """

    name: str
    episodes: int
    steps: float
    image: int
    state: int
    actions: int
    text: int
    tasks: int

    @property
    def step_tokens(self) -> int:
        """With the separator."""
        return self.image + self.state + self.text + 1 + self.actions

    @property
    def step_bytes(self) -> int:
        image = _IMAGE_BYTES if self.image else 0
        numbers = _NUMBER_BYTES * (self.state + self.actions + self.text)
        return image + numbers + _STEP_BYTES

    @property
    def files(self) -> int:
        return max(1, round(self.episodes * self.steps * self.step_bytes / FILE_BYTES))


def shape_of(name: str, assumed: AssumedSize, fraction: float) -> Shape:
    """The shape of a data set at a fraction of its episodes."""
    assert assumed.tokens is not None, "episodes are assumed with their tokens"
    text = _TEXT_TOKENS if name in WITH_TEXT else 0
    if assumed.image_share:
        others = max(2, round(_IMAGE_TOKENS * (1 / assumed.image_share - 1)) - text)
        image, actions = _IMAGE_TOKENS, min(_ACTIONS, others - 1)
        state = others - 1 - actions
    else:
        image, state, actions = 0, _STATE, _ACTIONS
    step = image + state + text + 1 + actions
    episodes = max(1, round(assumed.records * fraction))
    steps = max(1.0, assumed.tokens / assumed.records / step)
    return Shape(name, episodes, steps, image, state, actions, text, TASKS.get(name, 1))


def shapes(table: str, fraction: float) -> list[Shape]:
    """The shapes of the data sets of agents in a config, which says what it assumes of each."""
    found = load_config(table).datasets
    return [
        shape_of(dataset.name, dataset.assumed, fraction)
        for dataset in found
        if isinstance(dataset, DatasetConfig) and dataset.assumed is not None
    ]


def write_inputs(folder: Path, wanted: list[Shape]) -> Path:
    """Writes the input directories, files without bytes, and the config; returns its path."""
    for shape in wanted:
        directory = folder / "data" / shape.name
        directory.mkdir(parents=True)
        (directory / "features.json").write_text(json.dumps(_features(shape)))
        for number in range(shape.files):
            name = f"{shape.name}-train.tfrecord-{number:05d}-of-{shape.files:05d}"
            with (directory / name).open("wb") as file:
                file.truncate(FILE_BYTES)
    _write_text_model(folder / "text.model")
    config = {
        "vocabulary": {"text_model": "text.model"},
        "output": {"shard_size": SHARD_SIZE},
        "datasets": [
            {
                "name": shape.name,
                "kind": "rlds",
                "path": f"data/{shape.name}",
                "task": "episode_metadata/task",
                "agent": "episode_metadata/agent",
                "episode_id": "episode_metadata/id",
                "filter": {"order_by": "episode_metadata/index"},
            }
            for shape in wanted
        ],
    }
    path = folder / "scale.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def _features(shape: Shape) -> dict[str, Any]:
    observation: dict[str, Any] = {}
    if shape.image:
        observation["image"] = data.image(64, 64, 3)
    if shape.state:
        observation["state"] = data.tensor("float32", shape.state)
    if shape.text:
        observation["instruction"] = data.text()
    metadata = {
        "id": data.text(),
        "task": data.text(),
        "agent": data.text(),
        "index": data.tensor("int64"),
    }
    return data.rlds(observation, data.tensor("float32", shape.actions), metadata)


def _write_text_model(path: Path) -> None:
    """The planner does not encode; it only wants a model where there is text."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["go to the red ball", "push the green box"] * 50),
        model_writer=model,
        vocab_size=40,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    path.write_bytes(model.getvalue())


def write_index(job: Job, wanted: list[Shape]) -> dict[str, list[IndexedFile]]:
    """Writes the index of all data sets; returns the summaries of their files."""
    contexts = open_datasets(job)
    found = {}
    for shape in wanted:
        context = contexts[shape.name]
        assert isinstance(context, DatasetContext)
        (Path(job.output) / "index" / shape.name).mkdir(parents=True, exist_ok=True)
        found[shape.name] = list(_write_dataset(job, context, shape))
    return found


def _write_dataset(job: Job, context: DatasetContext, shape: Shape) -> Iterator[IndexedFile]:
    """One index file for each input file, of as many episodes each as can be."""
    names = context.source.files
    ends = np.linspace(0, shape.episodes, len(names) + 1).astype(np.int64)
    first = 0
    while first < len(names):
        last = int(np.searchsorted(ends, ends[first] + _ROWS, side="right")) - 1
        last = min(len(names), max(first + 1, last))
        rows = _rows(shape, int(ends[first]), int(ends[last]))
        for number in range(first, last):
            start = int(ends[number] - ends[first])
            part = {
                name: column.slice(start, int(ends[number + 1] - ends[number]))
                for name, column in rows.items()
            }
            yield _write_file(job, context, names[number], part)
        first = last


def _write_file(
    job: Job, context: DatasetContext, name: str, columns: Mapping[str, pa.Array]
) -> IndexedFile:
    count = len(columns["size"])
    offsets = np.cumsum(columns["size"].to_numpy()) - columns["size"].to_numpy()
    complete = dict(columns) | {
        "file": pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), [name]),
        "record": pa.array(np.arange(count)),
        "offset": pa.array(offsets),
    }
    faults = count - columns["fault"].null_count
    digest = xxhash.xxh3_128_hexdigest(name.encode())
    summary = IndexedFile(name, FILE_BYTES, digest, count - faults, faults)
    table = pa.table(
        {
            field.name: complete.get(field.name, pa.nulls(count, field.type))
            for field in INDEX_SCHEMA
        },
        schema=INDEX_SCHEMA.with_metadata(summary_metadata(context, summary)),
    )
    # Not published with an `fsync` each, which would take longer than all else.
    pq.write_table(table, index_path(job.output, context.dataset.name, name))
    return summary


def _rows(shape: Shape, start: int, stop: int) -> dict[str, pa.Array]:
    """Columns of the index of the episodes [start, stop), but for their places in a file."""
    chance = np.random.Generator(
        np.random.Philox(key=[xxhash.xxh3_64_intdigest(shape.name.encode()), start])
    )
    count = stop - start
    # A lognormal number of mean 1 times the mean.
    drawn = np.exp(chance.normal(-(_SPREAD**2) / 2, _SPREAD, count)) * shape.steps
    steps = np.maximum(1, np.round(drawn)).astype(np.int64)
    said = chance.integers(-2, 3, count) if shape.text else np.zeros(count, np.int64)
    text = steps * (shape.text + said)
    actions = steps * shape.actions
    tokens = steps * (shape.step_tokens - shape.text) + text
    numbers = np.arange(start, stop)
    tasks = _names(shape.name + "/level_", chance.integers(0, shape.tasks, count), 3)
    # Close to the best, so that the filter keeps them; a few fail.
    returns = chance.uniform(0.85, 1.0, count)
    returns[chance.random(count) < _FAILURES] = 0.1
    is_faulty = chance.random(count) < _FAULTS
    extremes = pa.array(chance.uniform(0, 1, count * _entries(shape)))
    columns = {
        "size": steps * shape.step_bytes + chance.integers(100, 400, count),
        "crc": pa.array(chance.integers(0, 1 << 32, count, np.uint64).astype(np.uint32)),
        "episode_id": pc.binary_join_element_wise(tasks, _names("episode_", numbers, 9), "/"),
        "task": tasks,
        "agent": _names("learner_", chance.integers(0, 1, count), 2),
        "order_integer": pa.array(numbers),
        "steps": steps,
        "tokens": tokens,
        "image_tokens": steps * shape.image,
        "text_tokens": text,
        "action_tokens": actions,
        "target_tokens": actions + text,
        "text_changes": np.zeros(count, bool),
        "return": returns,
        "low": _lists(pc.negate(extremes), _entries(shape)),
        "high": _lists(extremes, _entries(shape)),
    }
    keep = ("size", "crc", "episode_id")
    made = {
        name: pa.array(values)
        if name in keep
        else pc.if_else(pa.array(~is_faulty), pa.array(values), None)
        for name, values in columns.items()
    }
    text = pa.scalar("steps/reward: a reward is NaN or infinite")
    return made | {"fault": pc.if_else(pa.array(is_faulty), text, pa.scalar(None, pa.string()))}


def _entries(shape: Shape) -> int:
    """Of the lists of extremes: one for each dimension of the action and one for the state."""
    return shape.actions + bool(shape.state)


def _lists(values: pa.Array, length: int) -> pa.Array:
    ends = np.arange(0, len(values) + 1, length, dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(ends), values)


def _names(prefix: str, numbers: npt.NDArray[np.int64], digits: int) -> pa.Array:
    texts = pc.utf8_lpad(pc.cast(pa.array(numbers), pa.string()), digits, "0")
    return pc.binary_join_element_wise(pa.scalar(prefix), texts, "")
