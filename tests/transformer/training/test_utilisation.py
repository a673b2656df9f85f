"""FLOPs, held to arithmetic by hand and to what XLA counts."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from gato_data.transformer import stateless
from gato_data.transformer.config import PRESETS
from gato_data.transformer.model import Gato
from gato_data.transformer.training.utilisation import (
    Work,
    forward_flops,
    peak_of,
    training_flops,
    utilisation,
    work_of,
)
from tests.transformer.small import BASE, inputs_of, make_batch

LARGE = PRESETS["364m"].model


@pytest.mark.parametrize(
    ("work", "flops"),
    [
        # 12 blocks: queries, keys, values, output 4 * 1536 * 1536, and 1536 * 6144 + 3072 * 1536.
        (Work(tokens=1), 2 * 12 * (4 * 2_359_296 + 9_437_184 + 4_718_592)),
        # Scores and sums of 12 heads of 128.
        (Work(pairs=1), 2 * 12 * 2 * 1536),
        # 256 pixels: 9 * (3 * 64 + 2 * 64 * 64) products of convolutions, then 64 * 1536.
        (Work(patches=1), 2 * 256 * (9 * (192 + 8192) + 98_304)),
        (Work(targets=1), 2 * 1536 * 33_027),
    ],
)
def test_by_hand(work: Work, flops: int) -> None:
    assert forward_flops(LARGE, work) == flops
    assert training_flops(LARGE, work) == 3 * flops


def test_multi_query_attention_has_smaller_keys_and_values() -> None:
    config = replace(LARGE, layers=1, kv_heads=1)
    saved = 2 * 2 * 1536 * (1536 - 128)
    one = Work(tokens=1)
    assert forward_flops(replace(LARGE, layers=1), one) - forward_flops(config, one) == saved


def test_work_of_a_batch() -> None:
    segment = np.array([[0, 0, 0, 0], [0, 0, 1, -1], [-1, -1, -1, -1]], np.int16)
    batch = {
        "segment": segment,
        "patch_index": np.array([[0, 1, -1, -1], [2, -1, -1, -1], [-1] * 4], np.int32),
        "loss_mask": np.array([[0, 1, 1, 0], [1, 0, 0, 0], [0] * 4], np.uint8),
    }
    # Four tokens see 1 + 2 + 3 + 4, two 1 + 2, and one itself.
    assert work_of(batch) == Work(tokens=7, pairs=14, patches=3, targets=3)
    del batch["patch_index"]
    assert work_of(batch) == Work(tokens=7, pairs=14, patches=0, targets=3)
    assert Work(1, 2, 3, 4) + Work(10, 20, 30, 40) == Work(11, 22, 33, 44)


def test_about_what_xla_counts() -> None:
    # Large enough that products outweigh all else.
    config = replace(
        BASE, width=64, heads=4, head_size=16, hidden=256, vocabulary=512, patch_channels=16
    )
    model = Gato(config)
    batch = inputs_of(make_batch(blocks=1))

    def run(values: object) -> object:
        return stateless.call(model, values, lambda: model.logits(model(batch)))[0]  # type: ignore[arg-type]

    counted = jax.jit(run).lower(stateless.values_of(model)).compile().cost_analysis()["flops"]
    rows, length = batch["tokens"].shape
    patches = batch["patches"].shape[0] * batch["patches"].shape[1]
    # All that is computed: padding, later places, empty places for patches.
    everything = Work(rows * length, rows * length * length, patches, rows * length)
    assert 0.85 < forward_flops(config, everything) / counted < 1.1


def test_share_of_the_peak() -> None:
    assert utilisation(1.978e14, 2.0, "TPU v5 lite", 1) == pytest.approx(0.502, abs=1e-3)
    assert utilisation(1.978e14, 2.0, "TPU v5 lite", 4) == pytest.approx(0.1255, abs=1e-3)
    assert utilisation(1.978e14, 2.0, "cpu", 1) is None
    assert utilisation(1.0, 0.0, "TPU v4", 1) is None
    assert peak_of("NVIDIA H200") == 989.4e12
