"""Compiles the training step of every preset for slices of TPUs, without a TPU.

The compiler of `libtpu` is the one that a TPU VM has. What it says of a program holds: that it can
be compiled at all, how much memory of a chip it takes, and what it exchanges with other chips and
with the host. How long a step takes it does not say.

    make tpu-compile
    .venv-tpu/bin/python -m benchmarks.tpu_compile --only 364m --write docs/tpu.md
"""

import argparse
import dataclasses
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.tpu_program import read_program

# Before JAX is imported: this machine has no TPU, and its metadata need not be asked for over the
# network.
for _name, _value in (
    ("JAX_PLATFORMS", "cpu"),
    ("KERAS_BACKEND", "jax"),
    ("TPU_SKIP_MDS_QUERY", "1"),
    ("ALLOW_MULTIPLE_LIBTPU_LOAD", "1"),
    ("TPU_MIN_LOG_LEVEL", "3"),
):
    os.environ.setdefault(_name, _value)

LENGTH = 1024
# Bytes of a chip's memory as its maker states them, read as powers of ten, to be on the safe side.
MEMORY = {"v5e": 16e9, "v5p": 95e9}
# Patches that a chip has room for, as a share of the places of its rows. Data of images alone has
# about so many.
PATCH_SHARE = 0.8
# Whose loss is told apart: the paper's table 1 has about so many groups of tasks.
DATASETS = 16
BEGIN, END = "<!-- begin: make tpu-compile -->", "<!-- end: make tpu-compile -->"


@dataclass(frozen=True)
class Case:
    """A training step.

    Attributes:
      preset: of `config.PRESETS`.
      topology: chips, as `jax.experimental.topologies` calls them.
      rows: sequences in one step of each place along the data axis of the mesh.
      images: whether there are patches.
      model: chips that share each layer.
      fsdp: whether the chips along the data axis share weights and what the optimiser keeps, too.
      remat: whether activations are computed again for the gradient.
      attention: what computes it.
    """

    preset: str
    topology: str
    rows: int
    images: bool
    model: int = 1
    fsdp: bool = False
    remat: bool = False
    attention: str = "splash"


@dataclass(frozen=True)
class Compiled:
    """What the compiler says of a step.

    Attributes:
      case: what was compiled.
      mesh: chips along the data axis, and along the model axis.
      state: bytes on a chip of the weights, of what the optimiser keeps, and of the batch.
      peak: bytes on a chip of all together, the program included.
      collectives: exchanges between chips, by their name.
      faults: what should hold and does not.
      seconds: of compiling.
    """

    case: Case
    mesh: tuple[int, int]
    state: int
    peak: int
    collectives: dict[str, int]
    faults: tuple[str, ...]
    seconds: float


def cases() -> list[Case]:
    """Every preset on both chips, with images and without, and some others."""
    found = []
    for images in (True, False):
        found += [
            Case("79m", "v5e:4x4", 8, images),
            Case("364m", "v5e:4x4", 4, images, fsdp=True),
            Case("1.18b", "v5e:4x4", 4, images, fsdp=True, remat=True),
            # The paper's batch of 512 on 16 chips.
            Case("79m", "v5p:2x2x4", 32, images),
            Case("364m", "v5p:2x2x4", 32, images),
            Case("1.18b", "v5p:2x2x4", 32, images, fsdp=True, remat=True),
        ]
    return [
        *found,
        Case("364m", "v5e:4x4", 4, True, fsdp=True, attention="plain"),
        Case("364m", "v5e:4x4", 8, True, model=2),
        Case("1.18b", "v5e:4x4", 16, True, model=4, fsdp=True, remat=True),
        # The paper's slice and its batch of 512, on smaller chips.
        Case("1.18b", "v5e:16x16", 2, True, fsdp=True),
    ]


def compile_case(case: Case) -> Compiled:
    """Compiles the step of a case."""
    import jax
    import keras
    from jax.experimental import topologies

    from gato_data.transformer.config import preset
    from gato_data.transformer.model import Gato
    from gato_data.transformer.training.optimiser import make_optimiser
    from gato_data.transformer.training.settings import TrainingConfig
    from gato_data.transformer.training.sharding import DATA, MODEL, make_mesh

    chosen = preset(case.preset)
    config = dataclasses.replace(
        chosen.model,
        length=LENGTH,
        compute="bfloat16",
        remat=case.remat,
        attention=case.attention,
    )
    mesh = make_mesh(topologies.get_topology_desc(case.topology, "tpu").devices, case.model)
    parallel = mesh.shape[DATA]
    training = TrainingConfig(steps=1_000_000, batch=case.rows * parallel, rate=chosen.peak_rate)
    began = time.monotonic()
    # Nothing below gets values, only shapes: in the scope of Keras, variables that are made, and
    # under `eval_shape` all else.
    with keras.StatelessScope(initialize_variables=False):
        model = Gato(config)
    made: list[Any] = []
    jax.eval_shape(lambda: made.append(make_optimiser(training, model.trainable_variables)))
    with keras.StatelessScope(initialize_variables=False):
        state, step = _step(model, made[0], training, mesh, case.fsdp)
        lowered = step.lower(state, _batch(case, mesh))
    try:
        compiled = lowered.compile()
    except jax.errors.JaxRuntimeError as error:
        fault = f"does not compile: {str(error).splitlines()[0]}"
        return Compiled(
            case, (parallel, mesh.shape[MODEL]), 0, 0, {}, (fault,), time.monotonic() - began
        )
    seconds = time.monotonic() - began
    memory, program = compiled.memory_analysis(), read_program(compiled.as_text())
    arguments = memory.argument_size_in_bytes
    # Results lie where the state did that they replace.
    results = memory.output_size_in_bytes - memory.alias_size_in_bytes
    peak = arguments + results + memory.temp_size_in_bytes + memory.generated_code_size_in_bytes
    room = MEMORY[case.topology.partition(":")[0]]
    faults = [f"{exchange} involves the host" for exchange in program.host_exchanges()]
    if peak > room:
        faults.append(f"needs {_giga(peak)} GB of {_giga(room)}")
    if memory.alias_size_in_bytes < _bytes_of(state):
        faults.append("the new state does not take the place of the old one")
    if not program.divides_by_global_count(parallel):
        faults.append("the loss is not divided by the number of targets of all chips")
    return Compiled(
        case,
        (parallel, mesh.shape[MODEL]),
        arguments,
        peak,
        program.collectives(),
        tuple(faults),
        seconds,
    )


def _bytes_of(state: Any) -> int:
    """Bytes of the state on one chip, without what tiles of its memory add."""
    import jax
    import numpy as np

    return sum(
        int(np.prod(x.sharding.shard_shape(x.shape), dtype=np.int64)) * x.dtype.itemsize
        for x in jax.tree.leaves(state)
    )


def _step(model: Any, optimiser: Any, training: Any, mesh: Any, fsdp: bool) -> tuple[Any, Any]:
    """The state as shapes, and the step."""
    import jax

    from gato_data.transformer import stateless
    from gato_data.transformer.training import placing
    from gato_data.transformer.training.optimiser import slots_of
    from gato_data.transformer.training.schedule import schedule
    from gato_data.transformer.training.step import State, make_step

    variables = State(stateless.variables(model), list(optimiser.variables))
    names = placing.names_of(model, slots_of(optimiser, model.trainable_variables))
    shapes = {
        name: tuple(x.shape)
        for of, known in zip(names, variables, strict=True)
        for name, x in zip(of, known, strict=True)
    }
    where = placing.state_shardings(names, shapes, mesh, fsdp)
    state = State(
        *(
            [
                jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)
                for x, sharding in zip(known, placed, strict=True)
            ]
            for known, placed in zip(variables, where, strict=True)
        )
    )
    step = make_step(
        model, optimiser, schedule(training), where, mesh, datasets=DATASETS, target_budget=None
    )
    return state, step


def _batch(case: Case, mesh: Any) -> dict[str, Any]:
    """A batch of the loader as shapes."""
    import jax
    import numpy as np

    from gato_data.loading.batches import BatchShape
    from gato_data.transformer.training.feeding import FIELDS
    from gato_data.transformer.training.sharding import DATA, rows
    from gato_data.vocabulary import PADDING

    blocks = mesh.shape[DATA]
    patches = int(PATCH_SHARE * case.rows * LENGTH) if case.images else 0
    shape = BatchShape(
        size=case.rows * blocks,
        length=LENGTH,
        padding=PADDING,
        images="packed" if case.images else "none",
        shards=blocks,
        patches=patches,
        provenance=False,
    )
    spec = {name: x for name, x in shape.spec().items() if name in FIELDS}
    spec["dataset"] = ((shape.size,), np.dtype(np.int32))
    return {
        name: jax.ShapeDtypeStruct(sizes, dtype, sharding=rows(mesh))
        for name, (sizes, dtype) in spec.items()
    }


COLUMNS = (
    "preset",
    "chips",
    "mesh",
    "weights",
    "attention",
    "again",
    "images",
    "batch",
    "state, GB",
    "peak, GB",
    "of the chip",
)
# Those that tell a case from all others.
_KEY = 8


def cells(case: Case, mesh: tuple[int, int]) -> list[str]:
    """What a line of the table says of a case."""
    return [
        case.preset,
        case.topology,
        f"{mesh[0]} × {mesh[1]}",
        "shared" if case.fsdp else "by layer" if case.model > 1 else "whole",
        case.attention,
        "yes" if case.remat else "no",
        "yes" if case.images else "no",
        f"{case.rows * mesh[0]:,}",
    ]


def line(compiled: Compiled) -> list[str]:
    """A line of the table."""
    case = compiled.case
    known = cells(case, compiled.mesh)
    if not compiled.peak:
        return [*known, "–", "–", "does not fit"]
    room = MEMORY[case.topology.partition(":")[0]]
    share = f"{compiled.peak / room:.0%}"
    return [*known, _giga(compiled.state), _giga(compiled.peak), share.replace("%", " %")]


def merge(text: str, lines: Sequence[Sequence[str]]) -> str:
    """A page with its table anew; lines of cases that were not compiled now stay.

    Raises:
      ValueError: the page has no place for the table.
    """
    before, begin, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"The page needs the lines {BEGIN} and {END}.")
    known = {}
    for row in old.splitlines():
        if row.startswith("|"):
            known[tuple(_split(row)[:_KEY])] = _split(row)
    known |= {tuple(one[:_KEY]): list(one) for one in lines}
    order = [tuple(cells(case, _mesh_of(case))) for case in cases()]
    table = [COLUMNS, ["---"] * len(COLUMNS), *(known[key] for key in order if key in known)]
    rows = "\n".join(f"| {' | '.join(row)} |" for row in table)
    return f"{before}{begin}\n{rows}\n{end}{after}"


def _split(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip("|").split("|")]


def _mesh_of(case: Case) -> tuple[int, int]:
    chips = 1
    for size in case.topology.partition(":")[2].split("x"):
        chips *= int(size)
    return chips // case.model, case.model


def _giga(count: float) -> str:
    return f"{count / 1e9:.1f}"


def main() -> int:
    """Compiles the cases, one after the other, and says what holds."""
    parser = argparse.ArgumentParser(description="Compiles training steps for TPUs.")
    parser.add_argument("--only", help="a preset, such as 364m; else all")
    parser.add_argument("--topology", help="chips, such as v5e:4x4; else all")
    parser.add_argument("--write", type=Path, help="the page whose table gets the result")
    asked = parser.parse_args()
    faults = 0
    for case in cases():
        if asked.only not in (None, case.preset) or asked.topology not in (None, case.topology):
            continue
        found = compile_case(case)
        print(" | ".join(line(found)), f"| {found.seconds:.0f} s |", found.collectives, flush=True)
        for fault in found.faults:
            faults += 1
            print(f"FAIL {case}: {fault}", flush=True)
        if asked.write:
            text = asked.write.read_text(encoding="utf-8")
            asked.write.write_text(merge(text, [line(found)]), encoding="utf-8")
    print(f"{faults} faults" if faults else "All of them fit, and none asks the host for anything.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
