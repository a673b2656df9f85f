"""Minari data sets for tests: written by Minari itself, and judged by what was given to it.

An episode is plain: {"steps": [{"observation", "action", "reward", "terminated", "truncated",
"info"}, …], "seed", "options"}. The last step has only an observation and its info.
"""

import functools
import io
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from tests.oracle import rules
from tests.oracle.rlds import Leaf, RawEpisode
from tests.oracle.source import Episode, Source

FORMS = ("hdf5", "arrow", "parquet")
# What Minari's own names for the streams of an episode are as RLDS.
FLAGS = {"reward": "reward", "terminated": "is_terminal", "truncated": "is_truncated"}


def write_minari(
    folder: str | os.PathLike[str],
    episodes: Sequence[Mapping[str, Any]],
    observation: Any,
    action: Any,
    form: str = "hdf5",
    jpeg: bool = True,
    name: str = "toy",
) -> Path:
    """Lets Minari write episodes; returns the folder of the data set.

    Args:
      observation, action: Gymnasium spaces.
      form: one of FORMS.
      jpeg: whether images are encoded.
    """
    import minari
    from minari.data_collector.episode_buffer import EpisodeBuffer

    buffers = [
        EpisodeBuffer(
            seed=episode.get("seed"),
            options=episode.get("options"),
            observations=_columns([step["observation"] for step in episode["steps"]]),
            actions=_columns([step["action"] for step in episode["steps"][:-1]]),
            rewards=[step["reward"] for step in episode["steps"][:-1]],
            terminations=[step["terminated"] for step in episode["steps"][:-1]],
            truncations=[step["truncated"] for step in episode["steps"][:-1]],
            infos=_columns([step.get("info", {}) for step in episode["steps"]]),
        )
        for episode in episodes
    ]
    Path(folder).mkdir(parents=True, exist_ok=True)
    with (
        warnings.catch_warnings(),
        mock.patch.dict(os.environ, {"MINARI_DATASETS_PATH": str(folder)}),
    ):
        warnings.simplefilter("ignore")
        minari.create_dataset_from_buffers(
            f"{name}-v0",
            buffers,
            observation_space=observation,
            action_space=action,
            data_format=form,
            jpeg_encoding=jpeg,
        )
    return Path(folder) / f"{name}-v0"


def _columns(values: list[Any]) -> Any:
    """The values of all steps, gathered leaf by leaf."""
    if isinstance(values[0], dict):
        return {key: _columns([value[key] for value in values]) for key in values[0]}
    if isinstance(values[0], tuple):
        return tuple(_columns([value[i] for value in values]) for i in range(len(values[0])))
    return values if isinstance(values[0], str) else np.stack(values)


@dataclass(frozen=True)
class MinariSource(Source):
    """The oracle of a data set that Minari wrote, from the episodes that it was given.

    Attributes:
      given: the episodes.
      spaces: of observation and action.
      jpeg: whether Minari encoded the images.
    """

    given: Sequence[Mapping[str, Any]] = ()
    spaces: tuple[Any, Any] = (None, None)
    jpeg: bool = True
    files: str = "episodes-00000000"

    @functools.cached_property
    def episodes(self) -> dict[str, Episode]:
        found = [self._episode(raw) for raw in self._raws()]
        return {episode.episode_id: episode for episode in found}

    @functools.cached_property
    def _leaves(self) -> dict[str, Leaf]:
        return {
            **dict(_leaves(self.spaces[0], "steps/observation")),
            **dict(_leaves(self.spaces[1], "steps/action")),
            **dict(_info_leaves(self.given[0]["steps"][0].get("info", {}))),
        }

    def _raws(self) -> Iterator[RawEpisode]:
        for number, episode in enumerate(self.given):
            metadata = {"episode_metadata/id": number, "episode_metadata/seed": episode.get("seed")}
            for key, value in (episode.get("options") or {}).items():
                metadata[f"episode_metadata/options/{key}"] = value
            steps = [self._step(step) for step in episode["steps"]]
            yield RawEpisode(self.files, number, metadata, steps)

    def _step(self, step: Mapping[str, Any]) -> dict[str, Any]:
        fields = {f"steps/{FLAGS[key]}": step[key] for key in FLAGS if key in step}
        for key in ("observation", "action", "info"):
            if key in step:
                name = "infos" if key == "info" else key
                fields |= dict(flat(step[key], f"steps/{name}"))
        for path, leaf in self._leaves.items():
            if leaf.kind == rules.M_IMAGE and path in fields:
                fields[path] = self._pixels(fields[path], leaf.channels)
        return fields

    def _pixels(self, frame: Any, channels: int) -> Any:
        """What Minari stores of an image."""
        return jpeg_of(frame) if self.jpeg else frame.reshape((*frame.shape[:2], channels))


def jpeg_of(frame: Any) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="JPEG")
    return buffer.getvalue()


def flat(tree: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Paths and values of a nested value; the parts of a tuple are numbered with equal digits."""
    for name, child in _children(tree):
        yield from flat(child, f"{path}/{name}")
    if not isinstance(tree, dict | tuple):
        yield path, tree


def _children(tree: Any) -> list[tuple[str, Any]]:
    if isinstance(tree, tuple):
        digits = len(str(len(tree) - 1))
        return [("_index_" + str(i).rjust(digits, "0"), x) for i, x in enumerate(tree)]
    return list(tree.items()) if isinstance(tree, dict) else []


def _leaves(space: Any, path: str) -> Iterator[tuple[str, Leaf]]:
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        for key, child in space.spaces.items():
            yield from _leaves(child, f"{path}/{key}")
    elif isinstance(space, spaces.Tuple):
        for name, child in _children(tuple(space.spaces)):
            yield from _leaves(child, f"{path}/{name}")
    elif isinstance(space, spaces.Text):
        yield path, Leaf(rules.M_TEXT)
    elif isinstance(space, spaces.Box) and space.dtype.kind == "f":
        yield path, Leaf(rules.M_CONTINUOUS)
    elif isinstance(space, spaces.Box) and _is_image(space):
        yield path, Leaf(rules.M_IMAGE, 1 if len(space.shape) == 2 else space.shape[2])
    else:
        yield path, Leaf(rules.M_DISCRETE)


def _info_leaves(info: Any) -> Iterator[tuple[str, Leaf]]:
    """No space declares infos: their values do."""
    for path, value in flat(info, "steps/infos"):
        kinds = {"U": rules.M_TEXT, "f": rules.M_CONTINUOUS}
        yield path, Leaf(kinds.get(np.asarray(value).dtype.kind, rules.M_DISCRETE))


def _is_image(space: Any) -> bool:
    shape = space.shape
    return (
        space.dtype == np.uint8
        and len(shape) in (2, 3)
        and shape[0] >= 32
        and shape[1] >= 32
        and (len(shape) == 2 or shape[2] in (1, 3))
        and bool((space.low == 0).all() and (space.high == 255).all())
    )
