"""What is read from compiled programs, here from those for eight devices of this machine."""

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from benchmarks.tpu_program import Program, read_program

# A loss whose gradient needs the number of targets of all devices, or of each, or is a mere sum;
# and a program that calls the host.
PROGRAMS = """
import json
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P

mesh = Mesh(np.array(jax.devices()).reshape(4, 2), ("data", "model"))
rows = NamedSharding(mesh, P("data"))
given = [jax.device_put(np.ones((8, 6), np.float32), rows) for _ in range(2)]
weights = jax.device_put(np.ones((6, 6), np.float32), NamedSharding(mesh, P()))

def each(weights, inputs, mask):
    return jnp.square(inputs @ weights) * mask

def of_all(weights, inputs, mask):
    return each(weights, inputs, mask).sum() / jnp.maximum(mask.sum(), 1)

def of_each(weights, inputs, mask):
    def local(weights, inputs, mask):
        return jax.lax.pmean(each(weights, inputs, mask).sum() / jnp.maximum(mask.sum(), 1), "data")
    cut = (P(), P("data"), P("data"))
    return jax.shard_map(local, mesh=mesh, in_specs=cut, out_specs=P())(weights, inputs, mask)

def total(weights, inputs, mask):
    return each(weights, inputs, mask).sum()

def asking(weights, inputs, mask):
    kind = jax.ShapeDtypeStruct(weights.shape, weights.dtype)
    known = jax.pure_callback(np.sin, kind, jax.lax.stop_gradient(weights))
    return of_all(known + weights, inputs, mask)

texts = {}
for function in (of_all, of_each, total, asking):
    both = jax.jit(jax.value_and_grad(function))
    texts[function.__name__] = both.lower(weights, *given).compile().as_text()
print(json.dumps(texts))
"""


@pytest.fixture(scope="module")
def programs() -> dict[str, Program]:
    flags = "--xla_force_host_platform_device_count=8"
    output = subprocess.run(
        [sys.executable, "-c", PROGRAMS],
        check=True,
        capture_output=True,
        env={**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
    ).stdout
    return {name: read_program(text) for name, text in json.loads(output).items()}


@pytest.mark.parametrize(
    ("name", "expected"), [("of_all", True), ("of_each", False), ("total", False)]
)
def test_the_number_of_targets_is_that_of_all_chips(
    programs: dict[str, Program], name: str, expected: bool
) -> None:
    assert programs[name].collectives().get("all-reduce", 0) >= 1
    assert programs[name].divides_by_global_count(4) is expected


def test_a_sum_of_fewer_chips_is_not_that_of_all(programs: dict[str, Program]) -> None:
    assert not programs["of_all"].divides_by_global_count(9)


def test_a_program_that_calls_the_host_is_found(programs: dict[str, Program]) -> None:
    assert programs["of_all"].host_exchanges() == []
    found = programs["asking"].host_exchanges()
    assert len(found) >= 1
    assert "callback" in found[0]


# Lines as libtpu writes them, shortened.
TPU = """HloModule jit_known, is_scheduled=true

%region_1 (a: f32[], b: f32[]) -> f32[] {
  %a = f32[] parameter(0)
  %b = f32[] parameter(1)
  ROOT %add.1 = f32[] add(%a, %b)
}

%all-reduce-scatter.1 (param: bf16[16,8]) -> bf16[1,8] {
  %param = bf16[16,8]{1,0:T(8,128)(2,1)} parameter(0)
  %all-reduce.9 = bf16[16,8]{1,0} all-reduce(%param), replica_groups=[1,16]<=[16]
  ROOT %dynamic-slice.1 = bf16[1,8]{1,0} dynamic-slice(%all-reduce.9)
}

ENTRY %main.2_spmd (mask: f32[2,4], x: bf16[16,8]) -> (bf16[1,8]) {
  %mask = f32[2,4]{1,0:T(2,128)} parameter(0)
  %x = bf16[16,8]{1,0:T(8,128)(2,1)} parameter(1)
  %reduce.1 = f32[]{:T(128)} reduce(%mask), to_apply=%region_1
  %all-reduce = f32[]{:T(128)} all-reduce(%reduce.1), channel_id=1, GROUPS, to_apply=%region_1
  %fusion.1 = bf16[16,8]{1,0:T(8,128)(2,1)} fusion(%x, OPERAND), kind=kLoop, calls=%region_1
  %fusion.2 = bf16[1,8]{1,0:T(8,128)} fusion(%fusion.1), kind=kCustom, calls=%all-reduce-scatter.1
  HOST
  ROOT %tuple = (bf16[1,8]{1,0:T(8,128)}) tuple(%fusion.2)
}
"""
MESH = "replica_groups=mesh['axis_0'=8,'axis_1'=2] {'axis_0'}, use_global_device_ids=true"


def tpu(groups: str = MESH, operand: str = "%all-reduce", host: str = "") -> Program:
    known = {"GROUPS": groups, "OPERAND": operand, "HOST": host}
    text = TPU
    for mark, value in known.items():
        text = text.replace(mark, value)
    return read_program(text)


@pytest.mark.parametrize(
    ("groups", "chips"),
    [
        (MESH, 8),
        (MESH.replace("{'axis_0'}", "{'axis_0','axis_1'}"), 16),
        ("replica_groups=[2,8]<=[8,2]T(1,0)", 8),
        ("replica_groups={{0,2,4},{1,3,5}}", 3),
        ("replica_groups={}", 0),
    ],
)
def test_groups_of_chips_in_every_way_of_writing(groups: str, chips: int) -> None:
    program = tpu(groups)
    assert program.divides_by_global_count(chips)
    assert not program.divides_by_global_count(chips + 1)


def test_gradients_that_do_not_wait_for_the_number_are_found() -> None:
    assert tpu().divides_by_global_count(8)
    assert not tpu(operand="%reduce.1").divides_by_global_count(8)


def test_collectives_are_counted_where_they_are_called() -> None:
    assert tpu().collectives() == {"all-reduce": 2}


@pytest.mark.parametrize(
    "host",
    [
        "%infeed.1 = ((f32[2]), token[]) infeed(%token), infeed_config=\"\"",
        "%outfeed.1 = token[] outfeed(%x, %token)",
        "%send.1 = (f32[2], u32[], token[]) send(%x), channel_id=3, is_host_transfer=true",
        '%call = f32[2]{0} custom-call(%x), custom_call_target="xla_python_cpu_callback"',
        '%call = f32[2]{0} custom-call(%x), custom_call_target="MoveToHost"',
    ],
)  # fmt: skip
def test_every_way_to_ask_the_host_is_found(host: str) -> None:
    assert tpu().host_exchanges() == []
    assert len(tpu(host=host).host_exchanges()) == 1


def test_kernels_do_not_ask_the_host() -> None:
    kernel: Any = '%call = f32[2]{0} custom-call(%x), custom_call_target="tpu_custom_call"'
    assert tpu(host=kernel).host_exchanges() == []
