"""The RLDS builders of TFDS's own catalogue, and the features that they publish."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.storage import example, framing

# What `builder_names` finds; written out, because to ask TFDS takes seconds.
BUILDERS = (
    "d4rl_adroit_door",
    "d4rl_adroit_hammer",
    "d4rl_adroit_pen",
    "d4rl_adroit_relocate",
    "d4rl_antmaze",
    "d4rl_mujoco_ant",
    "d4rl_mujoco_halfcheetah",
    "d4rl_mujoco_hopper",
    "d4rl_mujoco_walker2d",
    "locomotion",
    "mt_opt",
    "rlu_atari",
    "rlu_atari_checkpoints",
    "rlu_atari_checkpoints_ordered",
    "rlu_control_suite",
    "rlu_dmlab_explore_object_rewards_few",
    "rlu_dmlab_explore_object_rewards_many",
    "rlu_dmlab_rooms_select_nonmatching_object",
    "rlu_dmlab_rooms_watermaze",
    "rlu_dmlab_seekavoid_arena01",
    "rlu_locomotion",
    "rlu_rwrl",
    "robomimic_mg",
    "robomimic_mh",
    "robomimic_ph",
    "robosuite_panda_pick_place_can",
)
PREFIXES = ("d4rl_", "rlu_", "robomimic_", "robosuite_", "locomotion", "mt_opt")
# The builder of rlu_rwrl reads an episode in a bucket to find out its features. Its own code finds
# them in a stand-in, too, if that has the sizes of the Control Suite's task of that domain.
RWRL_SIZES = {
    "cartpole": {"action": 1, "observation:position": 3, "observation:velocity": 2},
    "walker": {
        "action": 6,
        "observation:height": 1,
        "observation:orientations": 14,
        "observation:velocity": 9,
    },
    "quadruped": {
        "action": 12,
        "observation:egocentric_state": 44,
        "observation:force_torque": 24,
        "observation:imu": 6,
        "observation:torso_upright": 1,
        "observation:torso_velocity": 3,
    },
    "humanoid": {
        "action": 21,
        "observation:com_velocity": 3,
        "observation:extremities": 12,
        "observation:head_height": 1,
        "observation:joint_angles": 21,
        "observation:torso_vertical": 3,
        "observation:velocity": 27,
    },
}


# Sets whose actions are in metres and radians; the others are in [-1, 1], or close to it.
WIDE = ("mt_opt/rlds", "cameras_and_gripper", "dictionary_actions")


def reach_of(name: str) -> float:
    """How far the actions of a data set go beyond 0."""
    return 3.0 if name in WIDE else 1.0


@dataclass(frozen=True)
class Structure:
    """Features that one or more configs share.

    Attributes:
      builder: its name.
      configs: names of its configs with these features, in TFDS's order.
      features: as TFDS declares them.
    """

    builder: str
    configs: tuple[str, ...]
    features: Any

    @property
    def name(self) -> str:
        return f"{self.builder}/{self.configs[0]}"

    @property
    def is_rlds(self) -> bool:
        return "steps" in self.features


def builder_names() -> list[str]:
    import tensorflow_datasets as tfds

    names = tfds.list_builders(with_community_datasets=False)
    return [name for name in names if name.startswith(PREFIXES)]


def structures(builder: str, folder: Path) -> list[Structure]:
    """The distinct features of a builder's configs.

    Args:
      builder: its name.
      folder: empty, for what TFDS and the stand-ins need.
    """
    import tensorflow_datasets as tfds

    found: dict[str, list[tuple[str, Any]]] = {}
    with _without_network(builder, folder):
        for config in tfds.builder_cls(builder).BUILDER_CONFIGS:
            name = f"{builder}/{config.name}"
            features = tfds.builder(name, data_dir=folder, try_gcs=False).info.features
            key = json.dumps(features.to_json(), sort_keys=True)
            found.setdefault(key, []).append((config.name, features))
    return [
        Structure(builder, tuple(name for name, _ in same), same[0][1]) for same in found.values()
    ]


@contextlib.contextmanager
def _without_network(builder: str, folder: Path) -> Iterator[None]:
    """Keeps TFDS from looking into buckets."""
    if builder != "rlu_rwrl":
        yield
        return
    from tensorflow_datasets.rl_unplugged.rlu_rwrl import rlu_rwrl

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rlu_rwrl.RluRwrl, "_INPUT_FILE_PREFIX", str(folder / "rwrl"))
        patch.setattr(rlu_rwrl.RluRwrl, "_SHARDS", 1, raising=False)
        for config in rlu_rwrl.RluRwrl.BUILDER_CONFIGS:
            challenge = str(config.combined_challenge).lower()
            place = folder / "rwrl" / f"combined_challenge_{challenge}" / config.domain
            path = place / config.task / config.dataset_size / "episodes.tfrecord-00000-of-00001"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(framing.frame(_rwrl_episode(config.domain)))
        yield


def _rwrl_episode(domain: str) -> bytes:
    """An episode as rlu_rwrl's source has it: a flat list of floats for each key."""
    from tensorflow_datasets.rl_unplugged.rlu_rwrl import rlu_rwrl

    sizes = RWRL_SIZES[domain] | {"reward": 1, "discount": 1}
    steps = rlu_rwrl.DEFAULT_NUM_TIMESTEPS
    return example.serialise({key: np.zeros(steps * n, np.float32) for key, n in sizes.items()})
