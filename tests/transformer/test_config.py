"""A config is what it was written as, and sizes that make no model are refused."""

import json
from dataclasses import replace
from typing import Any

import pytest

from gato_data.errors import UsageError
from gato_data.transformer.config import PRESETS, ModelConfig, preset
from tests.transformer import small

NEEDED = {"layers": 2, "width": 16, "heads": 4, "head_size": 6, "hidden": 20}


def test_json_and_back() -> None:
    every = {name: one.model for name, one in PRESETS.items()} | small.CONFIGS
    for config in every.values():
        assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert len(small.BASE.to_json()) == 19


def test_defaults_are_those_of_the_paper_where_it_names_them() -> None:
    config = ModelConfig.from_json(NEEDED)
    assert config.vocabulary == 33_027
    assert config.length == 1024
    assert config.patch_blocks == 1
    assert config.patch_groups == 32
    assert config.stochastic_depth == 0.1
    assert config.dropout == 0
    assert config.position == "rotary"
    assert config.keys_heads == config.heads == 4


def test_presets_by_name() -> None:
    assert list(PRESETS) == ["tiny", "79m", "364m", "1.18b"]
    assert preset("1.18B") is PRESETS["1.18b"]
    # Tables 5 and 6: blocks, width, heads, head size, hidden size, peak rate.
    sizes = {
        name: (x.layers, x.width, x.heads, x.head_size, x.hidden, one.peak_rate)
        for name, one in PRESETS.items()
        if (x := one.model)
    }
    assert sizes["79m"] == (8, 768, 24, 32, 3072, 1e-4)
    assert sizes["364m"] == (12, 1536, 12, 128, 6144, 2e-4)
    assert sizes["1.18b"] == (24, 2048, 16, 128, 8192, 1e-4)
    with pytest.raises(UsageError, match=r"no preset '2b'\. The presets are tiny, 79m, 364m, 1\.1"):
        preset("2b")


WRONG: dict[str, Any] = {
    "layers": (0, "layers is 0, but must be at least 1"),
    "width": ("16", "width is '16', but must be int"),
    "heads": (True, "heads is True, but must be int"),
    "head_size": (5, "head_size is 5, but must be even with rotary positions"),
    "hidden": (21, "hidden is 21, but must be even: GEGLU halves it"),
    "vocabulary": (0, "vocabulary is 0, but must be at least 1"),
    "length": (1.5, "length is 1.5, but must be int"),
    "position": ("sinus", "'sinus', but must be one of rotary, learned, alibi, none"),
    "kv_heads": (3, "kv_heads is 3, but must be a divisor of the 4 heads"),
    "qk_norm": (1, "qk_norm is 1, but must be bool"),
    "patch_blocks": (0, "patch_blocks is 0, but must be at least 1"),
    "patch_channels": (48, "patch_channels is 48, but must be a multiple of the 32 groups"),
    "patch_groups": (0, "a multiple of the 0 groups"),
    "stochastic_depth": (1, "stochastic_depth is 1, but must be a probability below 1"),
    "hide_actions": (1, "hide_actions is 1, but must be bool"),
    "dropout": (-0.1, "dropout is -0.1, but must be a probability below 1"),
    "attention": ("flash", "'flash', but must be one of auto, plain, jax, splash"),
    "compute": ("float16", "'float16', but must be one of float32, bfloat16"),
    "remat": (None, "remat is None, but must be bool"),
    "number": (1, "'number' is no field. The fields are layers, width, heads"),
}
MORE_WRONG: list[tuple[str, Any, str]] = [
    ("heads", -4, "at least 1"),
    ("kv_heads", 0, "a divisor of the 4 heads"),
    ("kv_heads", 8, "a divisor of the 4 heads"),
    ("kv_heads", True, "kv_heads is True"),
    ("stochastic_depth", float("nan"), "a probability below 1"),
    ("stochastic_depth", False, "stochastic_depth is False, but must be float"),
    ("position", None, "must be str"),
    ("patch_channels", 0, "a multiple of the 32 groups"),
    ("patch_channels", -32, "a multiple of the 32 groups"),
]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [(field, *what) for field, what in WRONG.items()] + MORE_WRONG,
)
def test_what_makes_no_model_is_refused(field: str, value: Any, message: str) -> None:
    with pytest.raises(UsageError, match=r"^model: ") as refused:
        ModelConfig.from_json({**NEEDED, field: value})
    assert message in str(refused.value)


def test_a_missing_size_is_named() -> None:
    with pytest.raises(UsageError, match=r"model: width, hidden is missing\."):
        ModelConfig.from_json({"layers": 2, "heads": 4, "head_size": 6})


def test_odd_heads_without_rotations_and_whole_numbers_as_probabilities_are_right() -> None:
    assert replace(small.BASE, head_size=5, position="alibi").head_size == 5
    assert replace(small.BASE, dropout=0).dropout == 0
    assert replace(small.BASE, kv_heads=4).keys_heads == 4
