"""Recorded and built episodes of real environments, and what these observe when played again."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from gato_data.loading.directory import Build, open_build
from gato_data.recording import registry
from gato_data.recording.recorder import record
from gato_data.recording.rollout import roll_out
from gato_data.tokenizers import continuous, discrete
from gato_data.transformer.evaluation.spaces import spaces_of
from gato_data.transformer.policy.layouts import ActingData, acting_data
from gato_data.transformer.policy.spaces import (
    ContinuousActions,
    DiscreteActions,
    Numbers,
    Picture,
    Spaces,
    Words,
)
from tests.building.builds import build_here, write_config
from tests.oracle import rlds_fixtures

SEED = 5


@dataclass(frozen=True)
class Recorded:
    """A build, and the episodes that it was made from.

    Attributes:
      observations: of each episode by its id, those of its steps, as the environment gives them.
      actions: of each episode the ids of its actions, int [T, A].
    """

    build: Build
    dataset: str
    spaces: Spaces
    observations: Mapping[str, list[Any]]
    actions: Mapping[str, np.ndarray]

    @property
    def data(self) -> ActingData:
        return acting_data(self.build.manifest, self.dataset, self.build.directory)


def record_and_build(
    folder: Path,
    environment: str,
    *,
    episodes: int,
    sequence: dict[str, Any],
    dataset: dict[str, Any] | None = None,
    prompt: int = 40,
) -> Recorded:
    """Records an environment's expert, with noise, and builds it; no episode is filtered out."""
    path = record(environment, str(folder), episodes=episodes, seed=SEED, noise=0.5).path
    made = registry.make(environment)
    config: dict[str, Any] = {
        "seed": 3,
        "sequence": sequence,
        "prompt": {"length": prompt, "probability": 0.5},
        "datasets": [
            {
                "name": "played",
                "kind": "rlds",
                "path": path,
                "task": "episode_metadata/task",
                "episode_id": "episode_metadata/episode_id",
                "filter": "off",
            }
            | (dataset or {})
        ],
    }
    if any(spec.__class__.__name__ == "Text" for spec in made.observation.values()):
        rlds_fixtures.train_text_model(folder / "text.model")
        config["vocabulary"] = {"text_model": "text.model"}
    output = build_here(write_config(folder, config), folder / "build")
    observations, actions = {}, {}
    for index in range(episodes):
        found = roll_out(made, environment, seed=SEED, index=index, noise=0.5)
        name = f"{environment}/{SEED}/{index:06d}"
        observations[name] = list(found.observations[:-1])
        taken = np.stack([np.asarray(action) for action in found.actions])
        is_discrete = taken.dtype.kind == "i"
        ids = discrete.encode(taken) if is_discrete else continuous.encode(taken, compand=False)
        actions[name] = ids.reshape(len(taken), -1)
    return Recorded(open_build(str(output)), "played", spaces_of(made), observations, actions)


def toy(build: Path, dataset: str) -> Recorded:
    """The episodes of every modality of `conftest.tiny_build_arrow`, with nested keys."""
    shape = (16, 32, 3)
    episodes = rlds_fixtures.random_episodes(5, count=12, steps=(2, 9), image_shape=shape)
    observations, actions = {}, {}
    for episode in episodes:
        name = episode["episode_metadata"]["id"]
        steps = episode["steps"][:-1]
        observations[name] = [step["observation"] for step in steps]
        gripper = discrete.encode(np.array([step["action"]["gripper"] for step in steps]))
        velocity = np.stack([step["action"]["velocity"] for step in steps])
        ids = continuous.encode(velocity, compand=False)
        actions[name] = np.concatenate([gripper[:, None], ids], axis=1)
    return Recorded(open_build(str(build)), dataset, TOY_SPACES, observations, actions)


TOY_SPACES = Spaces(
    {
        "mission": Words(),
        "arm/joints": Numbers((3,), "float32"),
        "arm/contacts": Numbers((2, 2), "bool"),
        "arm_mode": Numbers((), "int64"),
        "grid": Numbers((2, 3), "uint8"),
        "image": Picture((16, 32, 3)),
    },
    {"gripper": DiscreteActions((5,), dtype="int32"), "velocity": ContinuousActions((2,))},
)
