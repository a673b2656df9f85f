"""Small models whose scores differ widely, and whole calls of them, with which decoding agrees."""

import functools
from typing import Any

import jax
import numpy as np

from gato_data.transformer import stateless
from gato_data.transformer.config import ModelConfig
from gato_data.transformer.model import Gato
from gato_data.transformer.policy.step_tokens import StepTokens, pack

# Tables begin so small that all ids are about as likely; scaled, scores differ by units.
_SCALE = 10.0


@functools.cache
def small_model(position: str = "rotary", seed: int = 0) -> Gato:
    model = Gato(
        ModelConfig(
            layers=2,
            width=32,
            heads=2,
            head_size=16,
            hidden=64,
            position=position,
            patch_channels=8,
            patch_groups=4,
        ),
        seed=seed,
    )
    for table in (model.embedding.ids, model.embedding.local):
        table.assign(table.value * _SCALE)
    return model


def whole_scores(model: Gato, tokens: StepTokens, length: int, patches: int) -> np.ndarray:
    """The scores of all ids after each token, by one call without a cache: [n, vocabulary].

    Args:
      length, patches: what the call is padded to, so that it is compiled once.
    """
    inputs = pack([tokens], length)
    if patches:
        padded = {name: np.zeros((1, patches, 768), np.uint8) for name in ("patches",)}
        padded |= {name: np.zeros((1, patches), np.int32) for name in ("patch_row", "patch_column")}
        for name, array in padded.items():
            if name in inputs:
                size = min(patches, inputs[name].shape[1])
                array[:, :size] = inputs[name][:, :size]
        inputs = inputs | padded
        inputs.setdefault("patch_index", np.full((1, length), -1, np.int32))
    inputs["segment"] = np.where(np.arange(length)[None] < len(tokens), 0, -1).astype(np.int32)
    return np.asarray(_compiled(model)(stateless.values_of(model), inputs))[0, : len(tokens)]


@functools.cache
def _compiled(model: Gato) -> Any:
    def run(values: Any, inputs: Any) -> Any:
        return stateless.call(model, values, lambda: model.logits(model(inputs)))[0]

    return jax.jit(run)
