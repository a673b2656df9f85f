"""Small models of every option, and batches, which the tests of the model share."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import jax
import numpy as np
import numpy.typing as npt

from gato_data.transformer import stateless
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.loss import loss_parts
from gato_data.transformer.model import Gato

Batch = Mapping[str, npt.NDArray[Any]]

# What is compiled here runs once or a few times: half the time that compiling takes is saved.
FAST = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}

VOCABULARY, ROWS, LENGTH = 40, 4, 12
# The heads do not fill the width, so that neither can stand for the other.
BASE = ModelConfig(
    layers=2,
    width=16,
    heads=4,
    head_size=6,
    hidden=20,
    vocabulary=VOCABULARY,
    length=LENGTH,
    patch_channels=4,
    patch_groups=2,
    stochastic_depth=0.0,
)
# Together they have every option of the forward pass.
CONFIGS = {
    "rotary": BASE,
    "learned": replace(BASE, position="learned", kv_heads=1, patch_blocks=2),
    "alibi": replace(BASE, position="alibi", kv_heads=2, qk_norm=True, patch_groups=4),
    "hidden actions": replace(BASE, hide_actions=True),
    "alibi of six": replace(BASE, position="alibi", heads=6, head_size=4, attention="jax"),
    "none": replace(BASE, position="none", qk_norm=True, kv_heads=2, attention="jax"),
}


def jit(function: Callable[..., Any]) -> Any:
    return jax.jit(function, compiler_options=FAST)


def make(config: ModelConfig, seed: int = 0) -> Gato:
    """A model of which no weight is 0 or 1, as biases and scales are at first."""
    model = Gato(config, seed)
    scramble(model)
    return model


def scramble(model: Gato) -> None:
    generator = np.random.default_rng(7)
    for weight in model.weights:
        noise = generator.normal(0, 0.3, weight.shape)
        if "ids" in weight.path or "local" in weight.path or "patches/r" in weight.path:
            noise = noise * 2  # that tokens differ
        weight.assign(np.asarray(weight) + noise.astype(np.float32))


@cache
def model_of(name: str) -> Gato:
    return make(CONFIGS[name])


@cache
def _compiled(name: str) -> Any:
    model = model_of(name)

    def scores(values: Any, inputs: Any) -> tuple[Any, Any]:
        def run() -> tuple[Any, Any]:
            hidden = model(inputs)
            return hidden, model.logits(hidden)

        return stateless.call(model, values, run)[0]

    return jit(scores)


def forward(name: str, batch: Batch) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Hidden [B, L, width] and logits [B, L, vocabulary] of a model of `CONFIGS`."""
    hidden, logits = _compiled(name)(stateless.values_of(model_of(name)), inputs_of(batch))
    return np.asarray(hidden), np.asarray(logits)


def inputs_of(batch: Batch) -> dict[str, npt.NDArray[Any]]:
    """What the model reads of a batch."""
    names = ("tokens", "local_position", "segment", "patches", "patch_row", "patch_column")
    return {name: batch[name] for name in (*names, "patch_index") if name in batch}


def make_batch(seed: int = 0, blocks: int = 2) -> dict[str, npt.NDArray[Any]]:
    """A batch with images: a row that is full, two documents and padding, padding alone, a prompt.

    Args:
      seed: of all that is drawn.
      blocks: of patches; the images are those of any other number.
    """
    generator = np.random.default_rng(seed)
    shape = (ROWS, LENGTH)
    segment = np.zeros(shape, np.int32)
    segment[1, 5:] = 1
    segment[1, 9:] = -1
    segment[2] = -1
    tokens = generator.integers(0, VOCABULARY, shape)
    is_padding = segment < 0
    is_image = (generator.random(shape) < 0.3) & ~is_padding
    is_image[0, :2] = True
    modality = np.where(is_image, 2, generator.choice([1, 3, 4, 5], shape))
    batch = {
        "tokens": np.where(is_padding, VOCABULARY - 1, tokens).astype(np.int32),
        "local_position": generator.choice([-1, 0, 1, 2, 511, 512, 512], shape).astype(np.int32),
        "segment": segment,
        "targets": generator.integers(0, VOCABULARY, shape).astype(np.int32),
        "loss_mask": ((generator.random(shape) < 0.6) & ~is_padding).astype(np.uint8),
        "modality": np.where(is_padding, 0, modality).astype(np.int32),
        "prompt_length": np.array([0, 0, 0, 7], np.int32),
        "dataset": np.array([1, 0, 2, 1], np.int32),
    }
    batch["loss_mask"][:, -1] = 0
    return batch | _packed(is_image, generator, blocks)


def _packed(is_image: Any, generator: Any, blocks: int) -> dict[str, npt.NDArray[Any]]:
    """The patches of image tokens, not in the order of the tokens, with empty places at the end."""
    places = [tuple(place) for place in np.argwhere(is_image)]
    drawn = {
        place: (
            generator.integers(0, 256, 768),
            generator.integers(0, 128),
            generator.integers(0, 128),
        )
        for place in places
    }
    room = len(places) + 1
    patches = np.zeros((blocks, room, 768), np.uint8)
    row, column = np.zeros((2, blocks, room), np.int32)
    index = np.full(is_image.shape, -1, np.int32)
    for block in range(blocks):
        own = [place for place in places if place[0] * blocks // ROWS == block]
        for number, place in enumerate(reversed(own)):
            patches[block, number], row[block, number], column[block, number] = drawn[place]
            index[place] = number
    return {"patches": patches, "patch_row": row, "patch_column": column, "patch_index": index}


def without_images(batch: Batch) -> dict[str, npt.NDArray[Any]]:
    return {name: value for name, value in batch.items() if not name.startswith("patch")}


def replica_batches() -> dict[str, dict[str, npt.NDArray[Any]]]:
    """A batch, and one whose second half is padding."""
    half = make_batch()
    half["loss_mask"][2:] = 0
    half["segment"][2:] = -1
    half["modality"][2:] = 0
    return {"full": make_batch(), "half": half}


def gradients(
    model: Gato, batch: Batch, values: Any = None, **options: Any
) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """The parts of the loss, and the gradients of the mean loss by the paths of the weights."""
    names = [weight.path for weight in model.trainable_variables]
    everything = stateless.values_of(model) if values is None else values
    places = [n for n, x in enumerate(stateless.variables(model)) if x.path in names]

    def loss(trained: Any, batch: Any) -> tuple[Any, dict[str, Any]]:
        own = list(everything)
        for place, value in zip(places, trained, strict=True):
            own[place] = value
        parts, _ = stateless.call(model, own, lambda: loss_parts(model, batch, **options))
        return parts["loss"] / parts["targets"], parts

    trained = [everything[place] for place in places]
    found, parts = jit(jax.grad(loss, has_aux=True))(trained, dict(batch))
    return (
        {name: np.asarray(value) for name, value in parts.items()},
        {name: np.asarray(value) for name, value in zip(names, found, strict=True)},
    )


def assert_close(found: Mapping[str, Any], expected: Mapping[str, Any], tolerance: float) -> None:
    """Arrays by name, up to a share of the largest entry of each."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        allowed = tolerance * max(np.abs(value).max(), 1e-6)
        np.testing.assert_allclose(found[name], value, rtol=0, atol=allowed, err_msg=name)
