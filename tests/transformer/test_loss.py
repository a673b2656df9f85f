"""The masked loss, what it is made of, and that the head at target positions changes nothing."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gato_data.transformer import stateless
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.loss import ROLES, loss_parts
from gato_data.transformer.model import Gato
from tests.transformer import oracle, small

DATASETS = 3
ONE_LAYER = replace(small.BASE, layers=1)


class Given(Gato):
    """The loss and the head of a model whose hidden state is given."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        return inputs["hidden"]


@pytest.fixture(scope="module")
def given() -> Given:
    model = Given(ModelConfig(**{**ONE_LAYER.to_json(), "patch_channels": 2}))
    small.scramble(model)
    return model


def hidden_of(batch: small.Batch) -> np.ndarray:
    generator = np.random.default_rng(3)
    return generator.normal(size=(*batch["tokens"].shape, 16)).astype(np.float32)


def parts_of(model: Given, batch: Any, **options: Any) -> dict[str, Any]:
    options = {"training": False, "datasets": DATASETS, **options}
    return {name: np.asarray(x) for name, x in loss_parts(model, batch, **options).items()}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("budget", [None, 3, 40])
def test_all_sums(given: Given, seed: int, budget: int | None) -> None:
    batch = small.make_batch(seed)
    hidden = hidden_of(batch)
    found = parts_of(given, batch | {"hidden": hidden}, target_budget=budget)
    table = np.asarray(given.embedding.ids, np.float64)
    expected = oracle.losses(batch, hidden.astype(np.float64) @ table.T, DATASETS)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, err_msg=name)
        assert found[name].dtype == np.float32
    assert expected["targets"] == sum(expected["role_targets"]) > 10
    assert all(expected["role_targets"][1:])
    assert expected["dataset_targets"][2] == 0  # its row is padding


def test_roles() -> None:
    """A target's own place says what it is: one after the place that predicts it."""
    assert ROLES == ("text", "action", "prompt")
    batch = small.without_images(small.make_batch())
    batch["loss_mask"][:] = 0
    batch["modality"][0] = [5, 1, 5, 1, 3, 4, 4, 5, 5, 5, 5, 5]
    batch["local_position"][0] = [-1, 0, -1, 512, 512, 512, 7, -1, -1, -1, -1, -1]
    batch["prompt_length"][0] = 0
    batch["loss_mask"][0, [0, 2, 3, 4]] = 1
    model = Given(ONE_LAYER)
    batch["hidden"] = hidden_of(batch)
    # A text observation; text that is an action; a discrete action; a continuous action.
    np.testing.assert_array_equal(parts_of(model, batch)["role_targets"], [1, 3, 0])
    # Tokens 0 to 3 are the prompt; the place of the last of them predicts what follows.
    batch["prompt_length"][0] = 4
    np.testing.assert_array_equal(parts_of(model, batch)["role_targets"], [0, 2, 2])


def gradient_of_hidden(model: Given, batch: Any, hidden: Any, budget: int | None) -> Any:
    """Of the sum of the losses, by hidden, and by the table."""

    def loss(hidden: Any, table: Any) -> Any:
        values = stateless.values_of(model)
        values[0] = table
        assert stateless.variables(model)[0] is model.embedding.ids

        def run() -> Any:
            own = dict(batch) | {"hidden": hidden}
            return loss_parts(model, own, training=False, datasets=DATASETS, target_budget=budget)[
                "loss"
            ]

        return stateless.call(model, values, run)[0]

    find = small.jit(jax.grad(loss, argnums=(0, 1)))
    found = find(jnp.asarray(hidden), model.embedding.ids.value)
    return [np.asarray(x) for x in found]


@pytest.mark.parametrize("budget", [None, 24])
def test_masked_places_have_no_gradient(given: Given, budget: int | None) -> None:
    batch = small.make_batch()
    hidden = hidden_of(batch)
    of_hidden, of_table = gradient_of_hidden(given, batch, hidden, budget)
    table = np.asarray(given.embedding.ids)
    shares = np.exp(hidden @ table.T)
    shares /= shares.sum(-1, keepdims=True)
    expected = (shares - np.eye(small.VOCABULARY)[batch["targets"]]) * batch["loss_mask"][..., None]
    np.testing.assert_allclose(of_hidden, expected @ table, rtol=1e-4, atol=1e-5)
    assert (of_hidden[batch["loss_mask"] == 0] == 0).all()
    # What stands there is of no account, even if it is no number.
    hidden[batch["loss_mask"] == 0] = np.nan
    again = gradient_of_hidden(given, batch, hidden, budget)
    np.testing.assert_array_equal(again[0], of_hidden)
    np.testing.assert_array_equal(again[1], of_table)


@pytest.mark.parametrize(
    ("budget", "images"), [(2, False), (40, False), (20, True)], ids=["too small", "fits", "blocks"]
)
def test_the_head_at_target_places_changes_nothing(budget: int, images: bool) -> None:
    batch = small.make_batch()
    batch = batch if images else small.without_images(batch)
    blocks = 2 if images else 1
    most = batch["loss_mask"].reshape(blocks, -1).sum(axis=1).max()
    assert (budget == 2) == (most > budget)
    model = small.make(ONE_LAYER)
    options = {"training": True, "datasets": DATASETS}
    expected_parts, expected = small.gradients(model, batch, **options)
    parts, found = small.gradients(model, batch, target_budget=budget, **options)
    small.assert_close(parts, expected_parts, 1e-5)
    small.assert_close(found, expected, 1e-4)


def test_a_budget_is_kept_where_it_suffices() -> None:
    """The largest array of the computation is that of the scores."""
    batch = small.without_images(small.make_batch())
    model = small.make(ONE_LAYER)

    def loss(batch: Any) -> Any:
        return loss_parts(model, batch, training=False, target_budget=30)["loss"]

    text = str(jax.make_jaxpr(loss)(batch))
    places = small.ROWS * small.LENGTH
    # Both are there, of which `cond` takes one.
    assert f"f32[1,30,{small.VOCABULARY}]" in text
    assert f"f32[1,{places},{small.VOCABULARY}]" in text


def test_a_batch_without_targets_has_no_loss_and_no_gradient(given: Given) -> None:
    batch = small.make_batch()
    batch["loss_mask"][:] = 0
    hidden = hidden_of(batch)
    parts = parts_of(given, batch | {"hidden": hidden})
    assert parts["loss"] == parts["targets"] == 0
    for found in gradient_of_hidden(given, batch, hidden, None):
        assert (found == 0).all()
