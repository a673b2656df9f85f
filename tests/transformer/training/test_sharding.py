"""How variables are cut, for meshes of which no device is needed."""

from dataclasses import replace

import jax
import pytest
from jax.sharding import AbstractMesh, PartitionSpec

from gato_data.errors import UsageError
from gato_data.transformer import stateless
from gato_data.transformer.model import Gato
from gato_data.transformer.training.sharding import make_mesh, rule, spec_of
from tests.transformer.small import BASE

MESH = AbstractMesh((4, 2), ("data", "model"))
BLOCK = "transformer/block_0"


def test_every_variable_has_a_rule() -> None:
    config = replace(BASE, position="learned", qk_norm=True, patch_blocks=2, stochastic_depth=0.1)
    cut = {}
    for variable in stateless.variables(Gato(config)):
        axes = rule(variable.path)
        assert len(axes) in (0, len(variable.shape)), variable.path
        if axes:
            cut[variable.path.removeprefix("transformer/")] = axes
    expected = {
        "attention/query": (None, "model", None),
        "attention/key": (None, "model", None),
        "attention/value": (None, "model", None),
        "attention/output": ("model", None, None),
        "feed_forward/input": (None, None, "model"),
        "feed_forward/output": ("model", None),
    }
    assert cut == {f"block_{n}/{name}": axes for n in range(2) for name, axes in expected.items()}


def test_a_variable_without_a_rule_is_noticed_but_for_those_of_another_sequence_model() -> None:
    with pytest.raises(LookupError, match="embedding/new: no rule"):
        rule("embedding/new")
    assert rule("recurrent/kernel") == ()


@pytest.mark.parametrize(
    ("path", "shape", "plain", "fsdp"),
    [
        (f"{BLOCK}/attention/query", (16, 4, 6), (None, "model"), ("data", "model")),
        # Three heads cannot be shared by two devices, but width by four.
        (f"{BLOCK}/attention/key", (16, 3, 6), (), ("data",)),
        (f"{BLOCK}/attention/output", (4, 6, 16), ("model",), ("model", None, "data")),
        (
            f"{BLOCK}/feed_forward/input",
            (16, 2, 10),
            (None, None, "model"),
            ("data", None, "model"),
        ),
        (f"{BLOCK}/feed_forward/output", (10, 16), ("model",), ("model", "data")),
        # The number of ids has no useful divisor.
        ("embedding/ids", (33027, 16), (), (None, "data")),
        ("embedding/ids", (33027, 18), (), ()),
        ("embedding/local", (513, 16), (), (None, "data")),
        (f"{BLOCK}/attention_norm/gamma", (16,), (), ()),
        # XLA gets the gradients of convolutions wrong when these are cut.
        ("embedding/patches/projection", (1024, 16), (), ()),
        ("embedding/patches/stem/kernel", (3, 3, 4, 8), (), ()),
    ],
)
def test_cuts(
    path: str, shape: tuple[int, ...], plain: tuple[str, ...], fsdp: tuple[str, ...]
) -> None:
    assert spec_of(path, shape, MESH, fsdp=False) == PartitionSpec(*plain)
    assert spec_of(path, shape, MESH, fsdp=True) == PartitionSpec(*fsdp)


def test_devices_that_cannot_be_split_are_refused() -> None:
    with pytest.raises(UsageError, match="model_parallel is 2, which does not divide the 1"):
        make_mesh(jax.devices()[:1], 2)
