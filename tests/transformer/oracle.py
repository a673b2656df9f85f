"""The model once more, slowly: loops and float64, from the formulas of the papers.

Nothing of the library is used here but the names of the weights.
"""

import cmath
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Weights = Mapping[str, Array]

EPSILON = 1e-5
# Press et al. (2022), for four heads and, where they are no power of two, for six.
SLOPES = {
    4: (1 / 4, 1 / 16, 1 / 64, 1 / 256),
    6: (1 / 4, 1 / 16, 1 / 64, 1 / 256, 1 / 2, 1 / 8),
}


def weights_of(model: Any) -> dict[str, Array]:
    return {weight.path: np.asarray(weight, np.float64) for weight in model.weights}


def gelu(x: Array) -> Array:
    """By the tangent (Hendrycks and Gimpel, 2016)."""
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def layer_norm(x: Array, weights: Weights, name: str) -> Array:
    centred = x - x.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
    return centred / deviation * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def group_norm(x: Array, groups: int, weights: Weights, name: str) -> Array:
    """[16, 16, channels]; each group of neighbouring channels has one mean and deviation."""
    size = x.shape[-1] // groups
    found = np.empty_like(x)
    for group in range(groups):
        own = slice(group * size, (group + 1) * size)
        part = x[:, :, own]
        found[:, :, own] = (part - part.mean()) / math.sqrt(part.var() + EPSILON)
    return found * weights[f"{name}/gamma"] + weights[f"{name}/beta"]


def convolve(x: Array, weights: Weights, name: str) -> Array:
    """3 x 3, zeros beyond the border: [16, 16, inputs] -> [16, 16, channels]."""
    kernel = weights[f"{name}/kernel"]
    found = np.zeros((16, 16, kernel.shape[-1]))
    for row in range(16):
        for column in range(16):
            for i in range(3):
                for j in range(3):
                    y, z = row + i - 1, column + j - 1
                    if 0 <= y < 16 and 0 <= z < 16:
                        found[row, column] += x[y, z] @ kernel[i, j]
    return found + weights[f"{name}/bias"]


def patch_vector(pixels: Array, config: Any, weights: Weights) -> Array:
    """One patch, uint8 [768] -> [width]."""
    x = (pixels.astype(np.float64).reshape(16, 16, 3) / 255 * 2 - 1) / 4
    x = convolve(x, weights, "embedding/patches/stem")
    for block in range(config.patch_blocks):
        inner = x
        for name in ("first", "second"):
            path = f"embedding/patches/residual_{block}/{name}"
            normed = group_norm(inner, config.patch_groups, weights, f"{path}_norm")
            inner = convolve(gelu(normed), weights, path)
        x = x + inner
    flat = np.concatenate([x[row, column] for row in range(16) for column in range(16)])
    return flat @ weights["embedding/patches/projection"] + weights["embedding/patches/bias"]


def embed(batch: Mapping[str, Any], config: Any, weights: Weights) -> Array:
    rows, length = batch["tokens"].shape
    blocks = len(batch["patches"]) if "patches" in batch else 1
    found = np.zeros((rows, length, config.width))
    for row in range(rows):
        block = row // (rows // blocks)
        for place in range(length):
            index = batch["patch_index"][row, place] if "patches" in batch else -1
            if index >= 0:
                vector = patch_vector(batch["patches"][block, index], config, weights)
                for axis in ("row", "column"):
                    table = weights[f"embedding/patches/{axis}s"]
                    vector = vector + table[batch[f"patch_{axis}"][block, index]]
            else:
                vector = weights["embedding/ids"][batch["tokens"][row, place]]
            position = batch["local_position"][row, place]
            if config.hide_actions and position == 512:
                vector = np.zeros(config.width)
            if position >= 0:
                vector = vector + weights["embedding/local"][position]
            found[row, place] = vector
    return found


def turned(vector: Array, position: int) -> Array:
    """Su et al. (2021): entries i and i + half as one complex number, turned."""
    half = len(vector) // 2
    found = np.empty_like(vector)
    for i in range(half):
        angle = position * 10_000.0 ** (-i / half)
        number = complex(vector[i], vector[i + half]) * cmath.exp(1j * angle)
        found[i], found[i + half] = number.real, number.imag
    return found


def head_norm(vector: Array, scale: Array) -> Array:
    return vector / math.sqrt((vector**2).mean() + 1e-6) * scale


def attend(x: Array, segment: Any, config: Any, weights: Weights, name: str) -> Array:
    """One row: [L, width] -> [L, width]."""
    length = len(x)
    shared = config.heads // (config.kv_heads or config.heads)

    def vector(place: int, kind: str, head: int) -> Array:
        found = x[place] @ weights[f"{name}/{kind}"][:, head]
        if kind == "value":
            return found
        if config.qk_norm:
            found = head_norm(found, weights[f"{name}/{kind}_norm/scale"])
        return turned(found, place) if config.position == "rotary" else found

    added = np.zeros_like(x)
    for head in range(config.heads):
        queries = [vector(place, "query", head) for place in range(length)]
        keys = [vector(place, "key", head // shared) for place in range(length)]
        values = [vector(place, "value", head // shared) for place in range(length)]
        for place in range(length):
            seen = [n for n in range(place + 1) if segment[n] == segment[place]]
            scores = [queries[place] @ keys[n] / math.sqrt(config.head_size) for n in seen]
            if config.position == "alibi":
                slope = SLOPES[config.heads][head]
                scores = [
                    score - slope * (place - n) for score, n in zip(scores, seen, strict=True)
                ]
            shares = np.exp(np.array(scores) - max(scores))
            shares /= shares.sum()
            mixed = sum(share * values[n] for share, n in zip(shares, seen, strict=True))
            added[place] += mixed @ weights[f"{name}/output"][head]
    return added


def feed_forward(x: Array, weights: Weights, name: str) -> Array:
    gate, value = (x @ weights[f"{name}/input"][:, n] for n in (0, 1))
    return gelu(gate) * value @ weights[f"{name}/output"]


def forward(batch: Mapping[str, Any], config: Any, weights: Weights) -> tuple[Array, Array]:
    """Hidden [B, L, width] and logits [B, L, vocabulary]."""
    found = embed(batch, config, weights)
    for row in range(len(found)):
        x = found[row]
        if config.position == "learned":
            x = x + weights["transformer/positions"][: len(x)]
        for number in range(config.layers):
            name = f"transformer/block_{number}"
            normed = layer_norm(x, weights, f"{name}/attention_norm")
            x = x + attend(normed, batch["segment"][row], config, weights, f"{name}/attention")
            normed = layer_norm(x, weights, f"{name}/feed_forward_norm")
            x = x + feed_forward(normed, weights, f"{name}/feed_forward")
        found[row] = layer_norm(x, weights, "final_norm")
    return found, found @ weights["embedding/ids"].T


def losses(batch: Mapping[str, Any], logits: Array, datasets: int) -> dict[str, Any]:
    """The sums of the masked loss, one target after the other."""
    sums: dict[str, Any] = {"loss": 0.0, "targets": 0}
    for name, size in (("role", 3), ("dataset", datasets)):
        sums[f"{name}_loss"], sums[f"{name}_targets"] = [0.0] * size, [0] * size
    rows, length = batch["tokens"].shape
    for row in range(rows):
        for place in range(length - 1):
            if not batch["loss_mask"][row, place]:
                continue
            scores = logits[row, place]
            largest = scores.max()
            total = largest + math.log(np.exp(scores - largest).sum())
            loss = total - scores[batch["targets"][row, place]]
            # Of the token that is predicted.
            if place + 1 < batch["prompt_length"][row]:
                role = 2
            elif batch["local_position"][row, place + 1] == 512:
                role = 1
            else:
                role = 0 if batch["modality"][row, place + 1] == 1 else 1
            sums["loss"] += loss
            sums["targets"] += 1
            for name, kind in (("role", role), ("dataset", batch["dataset"][row])):
                sums[f"{name}_loss"][kind] += loss
                sums[f"{name}_targets"][kind] += 1
    return sums
