"""The sizes of the model: one frozen config, the paper's presets, and what they come to.

The paper's sizes stand in its table 5 (appendix C.1). It prints a feed-forward hidden size and the
activation GEGLU without saying whether the gate comes on top of that size. Here the hidden size is
that of the first matrix, of which GEGLU takes one half to gate the other: with it the blocks have
1,007, 283 and 47 million parameters, which together with the table of ids and the patch block come
to 1.11 billion, 360 and 86 million. With three matrices of the full size the blocks alone would
have 1.61 billion, 453 and 76 million, more than the names of the first two say in all.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gato_data.errors import UsageError
from gato_data.vocabulary import LOCAL_POSITIONS, PATCH_SIDE

# Ids of the default id map: text, continuous, separator, padding, image (design of the id map).
_IDS = 33_027
# One row for each position in an observation, and one for all actions (appendix C.3).
LOCAL_ROWS = LOCAL_POSITIONS + 1
# Rows, and columns, that patch positions are quantised to (appendix C.3).
PATCH_POSITIONS = 128
PATCH_COLOURS = 3

# Weights begin in the memory of one host; a hundred times the paper's are beyond any.
_MOST_PARAMETERS = 10**11

_CHOICES = {
    "position": ("rotary", "learned", "alibi", "none"),
    "attention": ("auto", "plain", "jax", "splash"),
    "compute": ("float32", "bfloat16"),
}


@dataclass(frozen=True)
class ModelConfig:
    """Every size of a model.

    Attributes:
      layers: transformer blocks.
      width: of the residual stream.
      heads, head_size: of attention; the paper's key/value size.
      hidden: feed-forward hidden size, of which GEGLU makes half; even.
      vocabulary: ids of the embedding table.
      length: tokens of a sequence; only learned positions are bound to it.
      position: in the sequence, of which the paper says nothing: rotary (Su et al., 2021), learned,
        alibi (Press et al., 2022) or none.
      kv_heads: heads of keys and values, a divisor of `heads`; 1 is multi-query attention (Shazeer,
        2019); None: as many as `heads`.
      qk_norm: normalises queries and keys of each head (Dehghani et al., 2023).
      patch_blocks, patch_channels, patch_groups: residual blocks of the patch embedding, their
        channels, and the groups of their GroupNorm (appendix C.2: one block, 32 groups).
      stochastic_depth: probability that a sequence skips an attention or feed-forward layer in
        training (appendix D).
      dropout: of what each such layer adds, in training; the paper has 0.1 in fine-tuning
        (appendix E).
      hide_actions: gives all action tokens the same vector, in training as in acting, so that the
        model knows what it saw but not what it did. The paper does so on the robot (appendix G).
        It also keeps a model of experts that act smoothly from repeating its own last action.
      attention: what computes it, see `attention.py`.
      compute: dtype of activations; parameters, norms, softmax and losses are float32.
      remat: computes activations again for the gradient instead of keeping them.
    """

    layers: int
    width: int
    heads: int
    head_size: int
    hidden: int
    vocabulary: int = _IDS
    length: int = 1024
    position: str = "rotary"
    kv_heads: int | None = None
    qk_norm: bool = False
    patch_blocks: int = 1
    patch_channels: int = 64
    patch_groups: int = 32
    stochastic_depth: float = 0.1
    dropout: float = 0.0
    hide_actions: bool = False
    attention: str = "auto"
    compute: str = "float32"
    remat: bool = False

    def __post_init__(self) -> None:
        """Refuses sizes that make no model.

        Raises:
          UsageError: names the field and what would be right.
        """
        for field in dataclasses.fields(self):
            _check_type(field.name, field.type, getattr(self, field.name))
        for name in ("layers", "width", "heads", "head_size", "hidden", "vocabulary", "length"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            _require(name, value, value in choices, f"one of {', '.join(choices)}")
        for name in ("stochastic_depth", "dropout"):
            value = getattr(self, name)
            _require(name, value, 0 <= value < 1, "a probability below 1")
        _require("hidden", self.hidden, self.hidden % 2 == 0, "even: GEGLU halves it")
        fits = self.keys_heads >= 1 and self.heads % self.keys_heads == 0
        _require("kv_heads", self.kv_heads, fits, f"a divisor of the {self.heads} heads")
        rotates = self.position != "rotary" or self.head_size % 2 == 0
        _require("head_size", self.head_size, rotates, "even with rotary positions")
        _require("patch_blocks", self.patch_blocks, self.patch_blocks >= 1, "at least 1")
        count = sum(parameter_count(self).values())
        if count > _MOST_PARAMETERS:
            raise UsageError(
                f"model: these sizes make {count:,} parameters, more than {_MOST_PARAMETERS:,}."
            )
        whole = self.patch_groups >= 1 and self.patch_channels % self.patch_groups == 0
        _require(
            "patch_channels", self.patch_channels, whole and self.patch_channels > 0,
            f"a multiple of the {self.patch_groups} groups",
        )  # fmt: skip

    @property
    def keys_heads(self) -> int:
        """Heads of keys and values."""
        return self.heads if self.kv_heads is None else self.kv_heads

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, given: Mapping[str, Any]) -> "ModelConfig":
        """The inverse of `to_json`.

        Raises:
          UsageError: a field is missing, unknown or wrong.
        """
        fields = dataclasses.fields(cls)
        names = [field.name for field in fields]
        needed = [field.name for field in fields if field.default is dataclasses.MISSING]
        for name in given:
            if name not in names:
                raise UsageError(f"model: {name!r} is no field. The fields are {', '.join(names)}.")
        missing = [name for name in needed if name not in given]
        if missing:
            raise UsageError(f"model: {', '.join(missing)} is missing.")
        return cls(**given)


def _check_type(name: str, kind: Any, value: Any) -> None:
    """True is no number here, though Python says so; a whole number is a float."""
    right = isinstance(value, int | float if kind is float else kind)
    wanted = kind.__name__ if isinstance(kind, type) else str(kind)
    _require(name, value, right and (kind is bool or not isinstance(value, bool)), wanted)


def _require(name: str, value: Any, holds: bool, wanted: str) -> None:
    if not holds:
        raise UsageError(f"model: {name} is {value!r}, but must be {wanted}.")


def parameter_count(config: ModelConfig) -> dict[str, int]:
    """Parameters by what they belong to, as arithmetic on the sizes."""
    c = config
    queries, keys = c.heads * c.head_size, c.keys_heads * c.head_size
    attention = 2 * c.width * queries + 2 * c.width * keys + (2 * c.head_size if c.qk_norm else 0)
    feed_forward = c.width * c.hidden + c.hidden // 2 * c.width
    norms = 2 * 2 * c.width
    channels = c.patch_channels
    convolution = 9 * channels * channels + channels
    stem = 9 * PATCH_COLOURS * channels + channels
    projection = PATCH_SIDE * PATCH_SIDE * channels * c.width + c.width
    return {
        "ids": c.vocabulary * c.width,
        "local positions": LOCAL_ROWS * c.width,
        "patch positions": 2 * PATCH_POSITIONS * c.width,
        "patches": stem + c.patch_blocks * 2 * (convolution + 2 * channels) + projection,
        "positions": c.length * c.width if c.position == "learned" else 0,
        "blocks": c.layers * (attention + feed_forward + norms),
        "final norm": 2 * c.width,
    }


@dataclass(frozen=True)
class Preset:
    """A model and what it is trained with.

    Attributes:
      model: its sizes.
      peak_rate: the learning rate after the warm-up.
    """

    model: ModelConfig
    peak_rate: float


# Table 5 (appendix C.1); the rates are from memory of table 6 (appendix D).
PRESETS: Mapping[str, Preset] = {
    # For two CPU cores and short sequences; not of the paper.
    "tiny": Preset(
        ModelConfig(layers=2, width=64, heads=4, head_size=16, hidden=256, stochastic_depth=0.0),
        peak_rate=3e-3,
    ),
    "79m": Preset(ModelConfig(layers=8, width=768, heads=24, head_size=32, hidden=3072), 1e-4),
    "364m": Preset(ModelConfig(layers=12, width=1536, heads=12, head_size=128, hidden=6144), 2e-4),
    "1.18b": Preset(ModelConfig(layers=24, width=2048, heads=16, head_size=128, hidden=8192), 1e-4),
}


def preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
      UsageError: there is none.
    """
    found = PRESETS.get(name.lower())
    if found is None:
        raise UsageError(f"There is no preset {name!r}. The presets are {', '.join(PRESETS)}.")
    return found
