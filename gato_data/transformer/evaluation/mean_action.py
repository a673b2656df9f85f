"""The action that a data set takes on average, from the tokens of its shards."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from gato_data.errors import UsageError
from gato_data.loading.directory import Build
from gato_data.loading.shards import Shards
from gato_data.recording.environment import Action, Continuous, Discrete
from gato_data.sequencing import draws
from gato_data.sequencing.ranges import decode_actions
from gato_data.vocabulary import ACTION_POSITION, Modality

# Of a larger data set as many sequences are drawn: its mean is then known better than the bins are
# wide.
_SEQUENCES = 1000
_FIELDS = ("modality", "tokens", "local_position")


def mean_action(build: Build, dataset: str, space: Discrete | Continuous) -> Action:
    """What a policy does that knows the data set's actions, and nothing else.

    Args:
      build: of which the data set is a part, on a local file system.
      dataset: its name.
      space: of the environment's actions.

    Returns:
      the mean of each component; of discrete actions the one taken most often.

    Raises:
      UsageError: there is no such data set, its actions are not of the space, or none is whole.
    """
    shards = Shards.of(build, build.select(None, [dataset]))
    described = build.manifest["datasets"][dataset]
    acting = [key for key in described["layout"] if key["role"] == "action"]
    count = sum(key["tokens"] or 0 for key in acting)
    _check_space(build, dataset, acting, space)
    chosen = draws.generator(0, "mean action", dataset).permutation(len(shards))[:_SEQUENCES]
    found = [whole_actions(shards, number, count) for number in chosen.tolist()]
    ids = np.concatenate(found) if found else np.zeros((0, count), np.int64)
    if not len(ids):
        raise UsageError(
            f"{build.directory}: no sequence of the data set '{dataset}' has a whole action, so "
            "there is no mean action. Leave the controls out."
        )
    (values,) = decode_actions(ids, acting, build.manifest["vocabulary"]["discrete"][0]).values()
    if isinstance(space, Discrete):
        return np.int64(np.bincount(values.reshape(-1)).argmax())
    return space.clip(values.mean(axis=0))


def whole_actions(shards: Shards, number: int, count: int) -> npt.NDArray[np.int64]:
    """The ids of the actions of a sequence that are there from their first to their last token.

    Args:
      number: of the sequence.
      count: tokens of an action.

    Returns:
      int64 [n, count], of prompt and window.
    """
    views = shards.views(number, (*_FIELDS, "prompt_length"))
    # An action follows its separator; prompts and windows may end before its last token.
    starts = np.flatnonzero(views["modality"] == Modality.SEPARATOR) + 1
    prompt = int(views["prompt_length"][0])
    starts = starts[starts + count <= len(views["tokens"])]
    starts = starts[~((starts - 1 < prompt) & (starts + count > prompt))]
    places = starts[:, np.newaxis] + np.arange(count)
    is_whole = (views["local_position"][places] == ACTION_POSITION).all(axis=1)
    return views["tokens"][places[is_whole]].astype(np.int64)


def _check_space(
    build: Build, dataset: str, acting: list[dict[str, object]], space: Discrete | Continuous
) -> None:
    """Refuses actions that are no value of the space."""
    wanted = ("discrete", []) if isinstance(space, Discrete) else ("continuous", [space.size])
    faults: Iterator[str] = (
        f"{key['key']} is {key['modality']} {key['shape']}"
        for key in acting
        if (key["modality"], key["shape"]) != wanted
    )
    fault = next(faults, None if len(acting) == 1 else f"there are {len(acting)} keys")
    if fault:
        raise UsageError(
            f"{build.directory}: the actions of the data set '{dataset}' are not those of "
            f"the environment, which are {wanted[0]} {wanted[1]}: {fault}. "
            "Name the data set that was recorded from the environment, as ENV=DATASET."
        )
