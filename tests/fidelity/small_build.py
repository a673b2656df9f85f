"""Real builds in a fraction of a second: no TensorFlow, no Beam, one process.

The episodes are those of `rlds_fixtures.random_episodes`, written as a TFDS directory by hand. The
build runs the plain functions that the Beam jobs run, and the slow oracle judges its records.
"""

import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from gato_data.building import steps
from gato_data.building.context import Job
from gato_data.building.index import index_file
from gato_data.building.unit import build_unit
from gato_data.config import config_from_json
from gato_data.storage import example, framing
from tests.building.builds import records
from tests.oracle import rules
from tests.oracle.rlds import Leaf, RawEpisode
from tests.oracle.source import Episode, Source

CORE = "tensorflow_datasets.core.features"
IMAGE_SHAPE = (16, 32, 3)
# Path, type and shape of what `random_episodes` holds; images and texts have types of their own.
FEATURES: dict[str, tuple[str, tuple[int, ...]]] = {
    "steps/observation/mission": ("text", ()),
    "steps/observation/arm/joints": ("float32", (3,)),
    "steps/observation/arm/contacts": ("bool", (2, 2)),
    "steps/observation/arm_mode": ("int64", ()),
    "steps/observation/grid": ("uint8", (2, 3)),
    "steps/observation/image": ("image", IMAGE_SHAPE),
    "steps/action/gripper": ("int32", ()),
    "steps/action/velocity": ("float32", (2,)),
    "steps/reward": ("float32", ()),
    "steps/discount": ("float32", ()),
    "steps/is_first": ("bool", ()),
    "steps/is_last": ("bool", ()),
    "steps/is_terminal": ("bool", ()),
    "episode_metadata/task": ("text", ()),
    "episode_metadata/agent": ("text", ()),
    "episode_metadata/index": ("int64", ()),
    "episode_metadata/id": ("text", ()),
}
DATASET: dict[str, Any] = {
    "name": "small",
    "kind": "rlds",
    "task": "episode_metadata/task",
    "agent": "episode_metadata/agent",
    "episode_id": "episode_metadata/id",
    "filter": "off",
    "clip": True,  # some actions of `random_episodes` leave [-1, 1]
}


def write_rlds(directory: Path, episodes: Sequence[dict[str, Any]], shards: int = 2) -> Path:
    """Writes the episodes in their order, as TFDS would."""
    directory.mkdir(parents=True)
    (directory / "features.json").write_text(json.dumps(_features()))
    bounds = [len(episodes) * shard // shards for shard in range(shards + 1)]
    for shard in range(shards):
        name = f"small-train.tfrecord-{shard:05d}-of-{shards:05d}"
        chosen = episodes[bounds[shard] : bounds[shard + 1]]
        frames = [framing.frame(example.serialise(_record(episode))) for episode in chosen]
        (directory / name).write_bytes(b"".join(frames))
    return directory


def _features() -> dict[str, Any]:
    def group(features: dict[str, Any]) -> dict[str, Any]:
        name = f"{CORE}.features_dict.FeaturesDict"
        return {"pythonClassName": name, "featuresDict": {"features": features}}

    def nested(prefix: str) -> dict[str, Any]:
        inside = [path[len(prefix) :] for path in FEATURES if path.startswith(prefix)]
        keys = dict.fromkeys(path.partition("/")[0] for path in inside)
        return group(
            {
                key: _leaf(*FEATURES[prefix + key])
                if prefix + key in FEATURES
                else nested(f"{prefix}{key}/")
                for key in keys
            }
        )

    steps_node = {"feature": nested("steps/"), "length": "-1"}
    return group(
        {
            "steps": {"pythonClassName": f"{CORE}.dataset_feature.Dataset", "sequence": steps_node},
            "episode_metadata": nested("episode_metadata/"),
        }
    )


def _leaf(kind: str, shape: tuple[int, ...]) -> dict[str, Any]:
    sides = {"dimensions": [str(side) for side in shape]} if shape else {}
    if kind == "text":
        return {"pythonClassName": f"{CORE}.text_feature.Text", "text": {}}
    if kind == "image":
        image = {"shape": sides, "dtype": "uint8", "encodingFormat": "png"}
        return {"pythonClassName": f"{CORE}.image_feature.Image", "image": image}
    tensor = {"dtype": kind, "shape": sides, "encoding": "none"}
    return {"pythonClassName": f"{CORE}.tensor_feature.Tensor", "tensor": tensor}


def _record(episode: dict[str, Any]) -> dict[str, Any]:
    raw = raw_episode(episode, "", 0)
    found: dict[str, Any] = {}
    for path, (kind, _) in FEATURES.items():
        is_step = path.startswith("steps/")
        values = [step[path] for step in raw.steps] if is_step else [raw.metadata[path]]
        if kind == "text":
            found[path] = [value.encode() for value in values]
        elif kind == "image":
            found[path] = [_png(value) for value in values]
        else:
            found[path] = np.array(values, kind).ravel()
    return found


def _png(pixels: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def raw_episode(episode: dict[str, Any], file_name: str, record: int) -> RawEpisode:
    """The episode as the oracle takes it, without a detour through files."""
    return RawEpisode(
        file_name,
        record,
        dict(_flat(episode["episode_metadata"], "episode_metadata/")),
        [dict(_flat(step, "steps/")) for step in episode["steps"]],
    )


def _flat(tree: dict[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}/")
        else:
            yield prefix + key, value


@dataclass(frozen=True)
class PlainSource(Source):
    """The oracle's view of episodes that are plain Python values."""

    plain: Sequence[dict[str, Any]] = field(default_factory=list)

    @cached_property
    def episodes(self) -> dict[str, Episode]:
        raws = [raw_episode(episode, "", number) for number, episode in enumerate(self.plain)]
        return {episode.episode_id: episode for episode in map(self._episode, raws)}

    @cached_property
    def _leaves(self) -> dict[str, Leaf]:
        kinds = {"text": rules.M_TEXT, "image": rules.M_IMAGE, "float32": rules.M_CONTINUOUS}
        return {path: Leaf(kinds.get(x, rules.M_DISCRETE)) for path, (x, _) in FEATURES.items()}


@dataclass(frozen=True)
class SmallBuild:
    """A finished build and what it was made of."""

    output: Path
    config: dict[str, Any]
    manifest: dict[str, Any]
    episodes: Sequence[dict[str, Any]]
    model: Path | None

    @cached_property
    def records(self) -> list[dict[str, Any]]:
        return records(self.output)

    @cached_property
    def plan(self) -> dict[str, dict[str, Any]]:
        """The decision on every episode, by its id."""
        rows = pq.read_table(self.output / "plan/episodes.parquet").to_pylist()
        return {row["episode_id"]: row for row in rows}

    @property
    def kept(self) -> set[str]:
        return {name for name, row in self.plan.items() if row["decision"] == "kept"}

    @cached_property
    def source(self) -> PlainSource:
        sequence, prompt = self.config.get("sequence", {}), self.config.get("prompt", {})
        dataset = self.config["datasets"][0]
        return PlainSource(
            "",
            {**dataset, "key_order": sequence.get("key_order", "key")},
            text_model=str(self.model) if self.model else None,
            discrete_offset=self.config.get("vocabulary", {}).get("discrete_offset", 0),
            length=sequence.get("length", 1024),
            prompt=prompt,
            align=sequence.get("align", "token"),
            plain=self.episodes,
        )


def build(
    folder: Path,
    episodes: Sequence[dict[str, Any]],
    config: dict[str, Any],
    model: Path | None = None,
    limit: int | None = None,
) -> SmallBuild:
    """Writes the episodes, and builds what `config` says of them.

    Args:
      folder: takes the input and the output.
      episodes: of `random_episodes`, with images of `IMAGE_SHAPE`.
      config: `datasets` holds what differs from `DATASET`; default: one data set of everything.
      model: of texts; without one, the observation must not hold `mission`.
      limit: as of a pilot.
    """
    directory = write_rlds(folder / "small/1.0.0", episodes)
    made = {**config, "datasets": [DATASET | dataset for dataset in config.get("datasets", [{}])]}
    for dataset in made["datasets"]:
        dataset["path"] = str(directory)
    if model:
        made["vocabulary"] = {"text_model": str(model), **made.get("vocabulary", {})}
    job = Job(config_from_json(made), str(folder), str(folder / "out"), limit)
    contexts = steps.open_datasets(job)
    indexed = {
        name: [index_file(context, file) for file in context.source.files]
        for name, context in contexts.items()
    }
    plan = steps.plan(job, contexts, indexed)
    for unit in range(plan.units):
        build_unit(contexts, job, plan.fingerprint, unit)
    manifest = steps.complete(job, contexts, indexed, plan)
    return SmallBuild(folder / "out", made, manifest, episodes, model)
