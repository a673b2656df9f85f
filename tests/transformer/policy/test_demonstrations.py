"""Demonstrations are the first whole timesteps of good episodes, as the shards have them."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from gato_data.errors import UsageError
from gato_data.transformer.policy.demonstrations import (
    demonstrations,
)
from gato_data.vocabulary import ACTION_POSITION
from tests.transformer.policy.recordings import Recorded
from tests.transformer.policy.test_encoder import encoder_of

BUILDS = ("cartpole", "symbols", "symbols_once", "pixels", "toy")


@pytest.mark.parametrize("name", BUILDS)
def test_they_are_what_the_episodes_begin_with(name: str, request: pytest.FixtureRequest) -> None:
    recorded: Recorded = request.getfixturevalue(name)
    encoder, once = encoder_of(recorded), recorded.data.layout.text_once
    found = demonstrations(recorded.build, recorded.dataset)
    assert found
    for one in found:
        assert one.text_once == once
        assert one.timesteps
        steps = encoder.encode_many(recorded.observations[one.name])
        for number, (step, made) in enumerate(zip(one.timesteps, steps, strict=False)):
            observed = made.first if number == 0 else made.later
            ids = recorded.actions[one.name][number]
            assert step.tokens.tolist() == [*observed.tokens, *ids]
            assert step.local_position.tolist() == [
                *observed.local_position, *[ACTION_POSITION] * len(ids)
            ]  # fmt: skip
            np.testing.assert_array_equal(step.patches, observed.patches)


def returns_of(recorded: Recorded) -> dict[str, tuple[str, float]]:
    """Task and return of each episode, by the build's index."""
    folder = Path(recorded.build.directory) / "index" / recorded.dataset
    table = pa.concat_tables([pq.read_table(path) for path in sorted(folder.glob("*.parquet"))])
    return {row["episode_id"]: (row["task"], row["return"]) for row in table.to_pylist()}


def test_episodes_below_the_median_come_last(toy: Recorded) -> None:
    known = returns_of(toy)
    tasks = sorted({task for task, _ in known.values()})
    found = demonstrations(toy.build, "toy")
    assert [one.task for one in found] == sorted(one.task for one in found)
    for task in tasks:
        median = np.median([value for of, value in known.values() if of == task])
        good = [known[one.name][1] >= median for one in found if one.task == task]
        assert good == sorted(good, reverse=True)
        assert True in good
        best = demonstrations(toy.build, "toy", task=task, count=1)
        assert [one.task for one in best] == [task]
        assert known[best[0].name][1] >= median


def test_none_is_an_error(toy: Recorded) -> None:
    with pytest.raises(UsageError, match="no sequence of 'toy' of the task 'fly' begins"):
        demonstrations(toy.build, "toy", task="fly")
