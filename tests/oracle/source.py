"""The episodes of one RLDS data set as token lists, by the rules of the paper."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from tests.oracle import ranges, rules
from tests.oracle.rlds import Leaf, RawEpisode, decode_image, leaves, read_episodes

KIND_NAMES = {
    "text": rules.M_TEXT,
    "image": rules.M_IMAGE,
    "discrete": rules.M_DISCRETE,
    "continuous": rules.M_CONTINUOUS,
}


class Token(NamedTuple):
    """One token with everything that a sequence record says of it."""

    id: int
    modality: int
    loss: int
    local_position: int
    timestep: int
    patch: bytes | None = None
    rows: rules.Pair | None = None
    columns: rules.Pair | None = None


@dataclass(frozen=True)
class Episode:
    """One episode: what it is called, which of its steps are valid, and their tokens.

    Attributes:
      tokens: of all valid steps; with `text: first_of_window`, without the texts they observed.
      firsts: with `text: first_of_window`, by the index in `tokens` where a step begins, its
        tokens as the first of a window, with its texts; else empty.
    """

    episode_id: str
    task: str
    agent: str
    raw: RawEpisode
    valid_steps: list[int]
    tokens: list[Token]
    firsts: dict[int, list[Token]] = field(default_factory=dict)

    def stretch(self, start: int, count: int) -> list[Token]:
        """What a window or prompt of `count` tokens from `start` should be.

        Shorter where the episode ends, and nothing where no window may begin or end so.
        """
        if not self.firsts:
            return self.tokens[start : start + count]
        first = self.firsts.get(start, [])
        if not 0 < len(first) <= count:
            return []
        return (first + self.tokens[start + len(first) - self.lead(start) :])[:count]

    def lead(self, start: int) -> int:
        """How many tokens of a stretch from `start` are texts that `tokens` has not."""
        first = self.firsts.get(start, [])
        same_step = [
            token for token in self.tokens if first and token.timestep == first[0].timestep
        ]
        return len(first) - len(same_step)


@dataclass(frozen=True)
class Source:
    """A data set and the settings it was built with.

    Attributes:
      directory: an RLDS/TFDS directory.
      config: the data set's entry of the config (`datasets[i]`) as a plain dict; `key_order` may
        be "key" or "modality", `text` is "every_step" or "first_of_window".
      text_model: path of the SentencePiece model, where the data have text.
      discrete_offset: id of the discrete value 0.
      length: L, tokens of a sequence.
      prompt: the config's `prompt` entry; `loss: False` takes prompts out of the loss.
      align: the config's `sequence.align`.
      training: ids of the kept training episodes, for `action_range` by quantiles.
    """

    directory: str
    config: dict[str, Any]
    text_model: str | None = None
    discrete_offset: int = 0
    length: int = 1024
    prompt: dict[str, Any] = field(default_factory=dict)
    align: str = "token"
    training: tuple[str, ...] = ()

    @functools.cached_property
    def episodes(self) -> dict[str, Episode]:
        """Every episode that has steps by its id, in the order of the files."""
        found: dict[str, Episode] = {}
        for raw in read_episodes(str(self.directory), self.config.get("split", "train")):
            if not raw.steps:
                continue
            episode = self._episode(raw)
            if episode.episode_id in found:
                raise ValueError(f"two episodes have the id {episode.episode_id!r}")
            found[episode.episode_id] = episode
        return found

    @functools.cached_property
    def _leaves(self) -> dict[str, Leaf]:
        declared = leaves(str(self.directory))
        for path, name in (self.config.get("modalities") or {}).items():
            declared[path] = Leaf(KIND_NAMES[name], declared[path].channels)
        return declared

    @functools.cached_property
    def _text(self) -> Any:
        import sentencepiece

        return sentencepiece.SentencePieceProcessor(model_file=str(self.text_model))

    def _paths(self, asked: str | list[str] | None, default: str) -> list[str]:
        """Paths of leaves in token order; a folder stands for everything below it."""
        asked = [asked] if isinstance(asked, str) else asked or [default]
        kinds = {
            path: leaf.kind
            for path, leaf in self._leaves.items()
            if any(path == name or path.startswith(name + "/") for name in asked)
        }
        return rules.canonical_order(kinds, self.config.get("key_order", "key"))

    @functools.cached_property
    def _observation_paths(self) -> list[str]:
        return self._paths(self.config.get("observation"), "steps/observation")

    @functools.cached_property
    def _action_paths(self) -> list[str]:
        return self._paths(self.config.get("action"), "steps/action")

    @functools.cached_property
    def _ranges(self) -> dict[str, ranges.Range]:
        """The range of each continuous action that the config gives one."""
        asked = self.config.get("action_range") or {}
        paths = [x for x in self._action_paths if self._leaves[x].kind == rules.M_CONTINUOUS]
        one_for_all = not any(name.startswith("steps/") for name in asked)
        by_path = {path: asked if one_for_all else asked.get(path) for path in paths}
        return {
            path: ranges.resolve(one, lambda path=path: self._training_values(path))
            for path, one in by_path.items()
            if one
        }

    def _training_values(self, path: str) -> list[list[float]]:
        """The values of one action in every step of the training episodes."""
        found = []
        for raw in read_episodes(str(self.directory), self.config.get("split", "train")):
            if raw.steps and self._id_of(raw) in self.training:
                for index in valid_steps(raw, self.config.get("last_step", "drop")):
                    found.append([float(x) for x in rules.flattened(raw.steps[index][path])])
        return found

    def _id_of(self, raw: RawEpisode) -> str:
        path = self.config.get("episode_id")
        return lookup(raw, path) if path else f"{raw.file_name}#{raw.record}"

    def _episode(self, raw: RawEpisode) -> Episode:
        valid = valid_steps(raw, self.config.get("last_step", "drop"))
        tokens: list[Token] = []
        firsts: dict[int, list[Token]] = {}
        for timestep in valid:
            # What belongs to the episode is observed in every step.
            step = raw.metadata | raw.steps[timestep]
            if self._texts_only_first:
                firsts[len(tokens)] = list(self._timestep(step, timestep, texts=True))
            tokens.extend(self._timestep(step, timestep, texts=not self._texts_only_first))
        return Episode(
            episode_id=self._id_of(raw),
            task=lookup(raw, self.config.get("task") or {"literal": self.config["name"]}),
            agent=lookup(raw, self.config.get("agent") or {"literal": ""}),
            raw=raw,
            valid_steps=valid,
            tokens=tokens,
            firsts=firsts,
        )

    @property
    def _texts_only_first(self) -> bool:
        return bool(self.config.get("text", "every_step") == "first_of_window")

    def _timestep(self, step: dict[str, Any], timestep: int, texts: bool) -> Iterator[Token]:
        """Observation tokens, the separator, action tokens (section 2.1).

        Args:
          texts: whether the observation has its texts.
        """
        position = 0
        for path in self._observation_paths:
            if self._leaves[path].kind == rules.M_TEXT and not texts:
                continue
            for token in self._field(path, step[path], observed=True):
                if position >= 512:
                    raise ValueError(f"{path}: more than 512 observation tokens in a step")
                yield token._replace(local_position=position, timestep=timestep)
                position += 1
        separator = (rules.SEPARATOR, rules.M_SEPARATOR, 0, rules.NOWHERE, timestep)
        yield Token(*separator)
        for path in self._action_paths:
            for token in self._field(path, step[path], observed=False):
                yield token._replace(
                    loss=1, local_position=rules.ACTION_POSITION, timestep=timestep
                )

    def _field(self, path: str, value: Any, observed: bool) -> Iterator[Token]:
        """The tokens of one field; position and timestep are filled in by the caller."""
        leaf = self._leaves[path]
        if value is None:  # an optional value that is missing
            return
        if leaf.kind == rules.M_IMAGE:
            for frame in self._frames(value, leaf.channels):
                for pixels, rows, columns in rules.patches(frame):
                    yield Token(rules.IMAGE, leaf.kind, 0, 0, 0, pixels, rows, columns)
            return
        scalars = [scalar for scalar in rules.flattened(value) if scalar is not None]
        for place, scalar in enumerate(scalars):
            if leaf.kind == rules.M_TEXT:
                for piece in self._text.encode(_string(scalar)):
                    yield Token(piece, leaf.kind, 1, 0, 0)
            elif leaf.kind == rules.M_DISCRETE:
                number = rules.discrete_id(int(scalar), self.discrete_offset)
                yield Token(number, leaf.kind, 0, 0, 0)
            else:
                number = float(scalar)
                if path in self._ranges and not observed:
                    number = self._ranges[path].scaled(place, number)
                number = rules.continuous_id(number, compand=observed)
                yield Token(number, leaf.kind, 0, 0, 0)

    def _frames(self, value: Any, channels: int) -> Iterator[npt.NDArray[np.uint8]]:
        if isinstance(value, np.ndarray) and value.dtype == np.uint8:
            frames = list(value.reshape((-1, *value.shape[-3:])))
        else:
            frames = [decode_image(data, channels) for data in rules.flattened(value)]
        for frame in frames:
            yield self._fitted(_three_channels(frame))

    def _fitted(self, frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """Sides that are multiples of 16, by the data set's policy."""
        if self.config.get("image_size"):
            frame = _resized(frame, *self.config["image_size"])
        height, width = frame.shape[:2]
        fit = self.config.get("image_fit", "error")
        if fit == "resize_up":
            return _resized(frame, height + -height % 16, width + -width % 16)
        if fit == "pad":
            return np.pad(frame, ((0, -height % 16), (0, -width % 16), (0, 0)))
        if fit == "center_crop":
            top, left = height % 16 // 2, width % 16 // 2
            return frame[top : top + height // 16 * 16, left : left + width // 16 * 16]
        if height % 16 or width % 16:
            raise ValueError(f"an image of {height} x {width} pixels is not cut into 16 x 16")
        return frame


def valid_steps(raw: RawEpisode, last_step: str) -> list[int]:
    """Indices of the steps that have an action and a reward.

    RLDS: only the observation is valid at `is_last`. Data without that field are taken to end
    with such a step; data that have the field and never set it have none.
    """
    everything = list(range(len(raw.steps)))
    if last_step == "keep" or not everything:
        return everything
    if "steps/is_last" not in raw.steps[0]:
        return everything[:-1]
    return [index for index in everything if not raw.steps[index]["steps/is_last"]]


def lookup(raw: RawEpisode, where: str | dict[str, str]) -> str:
    """A string of an episode: a literal, an episode-level field, or the first step's field."""
    if isinstance(where, dict):
        return where["literal"]
    fields = raw.steps[0] if where.startswith("steps/") else raw.metadata
    return _string(next(iter(rules.flattened(fields[where]))))


def _string(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def _three_channels(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Grey repeated to red, green and blue; alpha dropped."""
    if frame.shape[2] < 3:
        return np.concatenate([frame[:, :, :1]] * 3, axis=2)
    return frame[:, :, :3]


def _resized(frame: npt.NDArray[np.uint8], height: int, width: int) -> npt.NDArray[np.uint8]:
    """Neither paper nor design names a filter; Pillow's bilinear one is the project's choice."""
    from PIL import Image

    picture = Image.fromarray(np.ascontiguousarray(frame))
    return np.asarray(picture.resize((width, height), Image.Resampling.BILINEAR))
