"""Which field of the steps is the reward."""

import pytest

from gato_data.building.context import reward_leaf
from gato_data.readers.features import IMAGE, TENSOR, TEXT, Leaf

PATH = "steps/reward"


@pytest.mark.parametrize(
    ("leaf", "is_reward"),
    [
        (Leaf(PATH, TENSOR, "float32", (), per_step=True), True),
        (Leaf(PATH, TENSOR, "int64", (1,), per_step=True), True),
        (Leaf(PATH, TENSOR, "float32", (2,), per_step=True), False),
        (Leaf(PATH, TENSOR, "float32", (None,), per_step=True), False),
        (Leaf(PATH, TENSOR, "string", (), per_step=True), False),
        (Leaf(PATH, TEXT, "string", (), per_step=True), False),
        (Leaf(PATH, IMAGE, "uint8", (1, 1, 1), per_step=True), False),
        (Leaf(PATH, TENSOR, "float32", (), per_step=True, obstacle="for some reason"), False),
        (Leaf("steps/other", TENSOR, "float32", (), per_step=True), False),
    ],
)
def test_the_reward_is_one_number_of_each_step(leaf: Leaf, is_reward: bool) -> None:
    assert (reward_leaf({leaf.path: leaf}) is leaf) == is_reward
