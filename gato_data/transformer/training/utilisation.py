"""How much of a chip a training uses: FLOPs of the matrix products that it needs, over the peak.

docs/training.md has the formula. What is counted is what the model needs for the tokens that are
there, not what is computed: no padding, no attention to later places or to other segments, the head
at targets alone, nothing twice that is computed again for the gradient.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from gato_data.transformer.config import PATCH_COLOURS, ModelConfig
from gato_data.vocabulary import PATCH_SIDE

# Dense bf16 FLOP/s of one chip, as its maker states them, by what JAX calls the device. A device of
# JAX is one chip for all of these.
PEAKS: Mapping[str, float] = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA H100 80GB HBM3": 989.4e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H200": 989.4e12,
}
# A product of matrices is a multiplication and an addition for each of its terms.
_FLOPS = 2
# The gradient needs two products for each of the forward pass: of inputs, and of weights.
TRAINING_FACTOR = 3


@dataclass(frozen=True)
class Work:
    """What a model processes.

    Attributes:
      tokens: without padding.
      pairs: of a token and one that it sees, itself included.
      patches: image patches.
      targets: places of which the head tells the next token.
    """

    tokens: int = 0
    pairs: int = 0
    patches: int = 0
    targets: int = 0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.tokens + other.tokens,
            self.pairs + other.pairs,
            self.patches + other.patches,
            self.targets + other.targets,
        )


def work_of(batch: Mapping[str, Any]) -> Work:
    """The work of a batch of the loader, as numpy arrays."""
    segment = batch["segment"].astype(np.int64)
    rows, width = len(segment), int(segment.max(initial=-1)) + 2
    # Tokens of each segment of each row; column 0 is padding.
    keys = np.arange(rows)[:, None] * width + segment + 1
    counts = np.bincount(keys.ravel(), minlength=rows * width).reshape(rows, width)[:, 1:]
    patches = int((batch["patch_index"] >= 0).sum()) if "patch_index" in batch else 0
    return Work(
        tokens=int(counts.sum()),
        pairs=int((counts * (counts + 1) // 2).sum()),
        patches=patches,
        targets=int((batch["loss_mask"] > 0).sum()),
    )


def forward_flops(config: ModelConfig, work: Work) -> int:
    """FLOPs of the matrix products of a forward pass."""
    c = config
    queries, keys = c.heads * c.head_size, c.keys_heads * c.head_size
    of_token = 2 * c.width * queries + 2 * c.width * keys  # queries, output; keys, values
    of_token += c.width * c.hidden + c.hidden // 2 * c.width
    of_pair = 2 * queries  # scores, and sums of values
    pixels, channels = PATCH_SIDE * PATCH_SIDE, c.patch_channels
    of_patch = 9 * pixels * channels * (PATCH_COLOURS + c.patch_blocks * 2 * channels)
    of_patch += pixels * channels * c.width
    of_target = c.width * c.vocabulary
    return _FLOPS * (
        c.layers * (of_token * work.tokens + of_pair * work.pairs)
        + of_patch * work.patches
        + of_target * work.targets
    )


def training_flops(config: ModelConfig, work: Work) -> int:
    """FLOPs of the matrix products of an update."""
    return TRAINING_FACTOR * forward_flops(config, work)


def peak_of(device_kind: str) -> float | None:
    """Dense bf16 FLOP/s of a chip; None: it is not known."""
    return PEAKS.get(device_kind)


def utilisation(flops: float, seconds: float, device_kind: str, devices: int) -> float | None:
    """The share of the peak of some chips; None: their peak is not known, or no time went by."""
    peak = peak_of(device_kind)
    if peak is None or seconds <= 0:
        return None
    return flops / seconds / (peak * devices)
