"""Numbers of parameters, derived by hand."""

from dataclasses import replace

import numpy as np
import pytest

from gato_data.transformer.config import PRESETS, parameter_count
from gato_data.transformer.model import Gato
from tests.transformer import small

# Each product is written out: 33,027 ids; 512 + 1 local positions; 128 rows and 128 columns.
BY_HAND = {
    "tiny": {
        "ids": 2_113_728,  # 33,027 * 64
        "local positions": 32_832,  # 513 * 64
        "patch positions": 16_384,  # 256 * 64
        # 3 * 3 * 3 * 64 + 64; two times 3 * 3 * 64 * 64 + 64 and a norm of 2 * 64;
        # 16 * 16 * 64 * 64 + 64
        "patches": 1_792 + 2 * (36_928 + 128) + 1_048_640,
        "positions": 0,
        # 4 * 64 * 64; 64 * 256 + 128 * 64; two norms of 2 * 64
        "blocks": 2 * (16_384 + 24_576 + 256),
        "final norm": 128,
    },
    "79m": {
        "ids": 25_364_736,  # 33,027 * 768
        "local positions": 393_984,
        "patch positions": 196_608,
        "patches": 1_792 + 74_112 + 12_583_680,  # 16,384 * 768 + 768
        "positions": 0,
        # 4 * 768 * 768; 768 * 3,072 + 1,536 * 768; 4 * 768
        "blocks": 8 * (2_359_296 + 3_538_944 + 3_072),
        "final norm": 1_536,
    },
    "364m": {
        "ids": 50_729_472,  # 33,027 * 1,536
        "local positions": 787_968,
        "patch positions": 393_216,
        "patches": 1_792 + 74_112 + 25_167_360,
        "positions": 0,
        # 4 * 1,536 * 1,536; 1,536 * 6,144 + 3,072 * 1,536; 4 * 1,536
        "blocks": 12 * (9_437_184 + 14_155_776 + 6_144),
        "final norm": 3_072,
    },
    "1.18b": {
        "ids": 67_639_296,  # 33,027 * 2,048
        "local positions": 1_050_624,
        "patch positions": 524_288,
        "patches": 1_792 + 74_112 + 33_556_480,
        "positions": 0,
        # 4 * 2,048 * 2,048; 2,048 * 8,192 + 4,096 * 2,048; 4 * 2,048
        "blocks": 24 * (16_777_216 + 25_165_824 + 8_192),
        "final norm": 4_096,
    },
}
TOTALS = {"tiny": 3_370_048, "79m": 85_826_944, "364m": 360_346_240, "1.18b": 1_109_680_256}


@pytest.mark.parametrize("name", PRESETS)
def test_presets(name: str) -> None:
    assert parameter_count(PRESETS[name].model) == BY_HAND[name]
    assert sum(BY_HAND[name].values()) == TOTALS[name]


def variables(model: Gato) -> int:
    return sum(int(np.prod(weight.shape)) for weight in model.weights)


def test_the_tiny_model_has_them() -> None:
    assert variables(Gato(PRESETS["tiny"].model)) == 3_370_048


@pytest.mark.parametrize("name", small.CONFIGS)
def test_every_option_has_them(name: str) -> None:
    assert variables(small.model_of(name)) == sum(parameter_count(small.CONFIGS[name]).values())


def test_options_by_hand() -> None:
    """Of width 16 and 4 heads of 6: what one head of keys saves, and what the others add."""

    def count(**changes: object) -> int:
        return sum(parameter_count(replace(small.BASE, **changes)).values())

    plain = count()
    assert plain - count(kv_heads=1) == 2 * 2 * 16 * 18
    assert count(qk_norm=True) - plain == 2 * 2 * 6
    assert count(position="learned") - plain == 12 * 16
    assert count(patch_blocks=2) - plain == 2 * (9 * 4 * 4 + 4 + 2 * 4)
    assert count(position="alibi", patch_groups=4) == plain
