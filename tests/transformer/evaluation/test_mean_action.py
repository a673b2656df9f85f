"""The mean action of a build against a slow walk over its tokens, and against the recording."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.loading.directory import open_build
from gato_data.recording import record
from gato_data.recording.environment import Continuous, Discrete
from gato_data.recording.rollout import Episode, roll_out
from gato_data.tokenizers import continuous
from gato_data.transformer.evaluation import mean_action as module
from gato_data.transformer.evaluation.mean_action import mean_action, whole_actions
from gato_data.vocabulary import ACTION_POSITION, Modality
from tests.building.builds import batches, build_here, write_config

LQR, CARTPOLE = "dm_control/lqr-lqr_6_2", "gymnasium/CartPole-v1-perturbed"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings, in sequences that begin and end anywhere, with prompts."""
    folder = tmp_path_factory.mktemp("mean")
    record(LQR, str(folder), episodes=2, seed=0, noise=0.3)
    record(CARTPOLE, str(folder), episodes=40, seed=0, noise=1.0)
    common = {"kind": "rlds", "filter": "off"}
    config = {
        "seed": 1,
        "vocabulary": {"discrete_offset": 40_000},
        "sequence": {"length": 61},
        "prompt": {"length": 25, "probability": 0.5},
        "datasets": [
            {"name": "lqr", "path": "dm_control_lqr_lqr_6_2/1.0.0", **common},
            {"name": "pole", "path": "gymnasium_cart_pole_v1_perturbed/1.0.0", **common},
        ],
    }
    return build_here(write_config(folder, config), folder / "out")


def walked(directory: Path, dataset: str, count: int) -> Iterator[list[int]]:
    """The whole actions of a data set, token by token."""
    for batch in batches(directory):
        for number in range(len(batch)):
            one = batch.record(number)
            if one["dataset"] != dataset:
                continue
            for part in ((0, one["prompt_length"]), (one["prompt_length"], one["length"])):
                action: list[int] | None = None
                for place in range(*part):
                    if one["modality"][place] == Modality.SEPARATOR:
                        action = []
                    elif one["local_position"][place] != ACTION_POSITION:
                        action = None
                    elif action is not None:
                        action.append(int(one["tokens"][place]))
                        if len(action) == count:
                            yield action


def test_continuous(directory: Path) -> None:
    found = mean_action(open_build(str(directory)), "lqr", Continuous(2))
    ids = np.array(list(walked(directory, "lqr", 2)))
    # Neither the prompts, nor actions at an edge, are all whole.
    assert 1500 < len(ids) < 4000
    expected = continuous.decode(ids, companded=False).mean(axis=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.asarray(found).dtype == np.float32
    recorded = np.array(
        [action for index in range(2) for action in recording(LQR, index, 0.3).actions]
    )
    # Windows show each step about as often.
    np.testing.assert_allclose(found, recorded.mean(axis=0), atol=0.03)


def recording(name: str, index: int, noise: float) -> Episode:
    from gato_data.recording import registry

    return roll_out(registry.make(name), name, seed=0, index=index, noise=noise)


def test_discrete_is_the_action_taken_most_often(directory: Path) -> None:
    counts = np.bincount([ids[0] - 40_000 for ids in walked(directory, "pole", 1)])
    assert len(counts) == 2
    assert counts[0] != counts[1]
    found = mean_action(open_build(str(directory)), "pole", Discrete(2))
    assert (type(found), found) == (np.int64, counts.argmax())


class OneSequence:
    """A shard of one sequence: `|` separator, digits an action's tokens, `.` an observation's."""

    def __init__(self, tokens: str, prompt_length: int) -> None:
        kinds = {"|": Modality.SEPARATOR, ".": Modality.CONTINUOUS}
        self._fields = {
            "tokens": np.array([int(x) if x.isdigit() else 99 for x in tokens], np.uint16),
            "modality": np.array([kinds.get(x, Modality.CONTINUOUS) for x in tokens], np.uint8),
            "local_position": np.array([ACTION_POSITION if x.isdigit() else -1 for x in tokens]),
            "prompt_length": np.array([prompt_length]),
        }

    def views(self, number: int, names: Iterable[str]) -> dict[str, np.ndarray]:
        return {name: self._fields[name] for name in names}


@pytest.mark.parametrize(
    ("tokens", "prompt_length", "whole"),
    [
        ("..|12..|34", 0, [[1, 2], [3, 4]]),
        ("12..|34..|5", 0, [[3, 4]]),  # cut at both ends: the first tokens have no separator
        ("2..|34..|", 0, [[3, 4]]),
        ("..|12..|3.", 0, [[1, 2]]),  # what follows the last window is padding
        ("..|12|34..|56", 5, [[1, 2], [3, 4], [5, 6]]),  # the border lies after an action
        ("..|12|34..|56", 6, [[1, 2], [5, 6]]),  # a prompt's separator, a window's actions
        ("..|12|34..|56", 7, [[1, 2], [5, 6]]),  # a prompt's first token, a window's second
        ("..|12|34..|56", 8, [[1, 2], [3, 4], [5, 6]]),
        ("..|1..|23", 4, [[2, 3]]),  # a prompt that ends within an action
        ("....", 2, []),
    ],
)
def test_only_whole_actions_count(tokens: str, prompt_length: int, whole: list[list[int]]) -> None:
    found = whole_actions(OneSequence(tokens, prompt_length), 0, 2)  # type: ignore[arg-type]
    assert found.tolist() == whole
    assert found.shape == (len(whole), 2)


def test_of_much_data_a_part_is_drawn(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build = open_build(str(directory))
    whole = mean_action(build, "lqr", Continuous(2))
    monkeypatch.setattr(module, "_SEQUENCES", 60)
    part = mean_action(build, "lqr", Continuous(2))
    assert not np.array_equal(part, whole)
    np.testing.assert_allclose(part, whole, atol=0.1)
    assert np.array_equal(part, mean_action(build, "lqr", Continuous(2)))


@pytest.mark.parametrize(
    ("dataset", "space", "message"),
    [
        ("lqr", Continuous(3), r"steps/action is continuous \[2\]"),
        ("lqr", Discrete(2), r"which are discrete \[\]: steps/action is continuous \[2\]"),
        ("pole", Continuous(1), r"which are continuous \[1\]: steps/action is discrete \[\]"),
        ("cart", Discrete(2), r"no data set 'cart'\. It holds 'lqr', 'pole'"),
    ],
)
def test_other_spaces_are_refused(
    directory: Path, dataset: str, space: Discrete | Continuous, message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        mean_action(open_build(str(directory)), dataset, space)
