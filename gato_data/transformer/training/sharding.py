"""Where each array lies: a mesh of devices, and which axis of a variable is cut along which of it.

The mesh has two axes. Devices along "data" have other rows of the batch; devices along "model" have
the same rows and share the matrices, by heads and by the hidden size, so that each block adds up
twice what they found. The ids of the table are not cut: their number has no useful divisor.
"""

import re
from collections.abc import Mapping, Sequence

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from gato_data.errors import UsageError

DATA, MODEL = "data", "model"

Cut = tuple[str | None, ...]

# By the end of a variable's path; the first that matches. What is replicated is so on purpose.
_RULES: tuple[tuple[str, Cut], ...] = (
    (r"attention/(query|key|value)", (None, MODEL, None)),  # [width, heads, head_size]
    (r"attention/output", (MODEL, None, None)),  # [heads, head_size, width]
    (r"feed_forward/input", (None, None, MODEL)),  # [width, 2, hidden / 2]
    (r"feed_forward/output", (MODEL, None)),  # [hidden / 2, width]
    (r"\w*norm/(gamma|beta|scale)", ()),
    (r"patches/.*(stem|first|second)/(kernel|bias)", ()),  # [3, 3, channels, channels], [channels]
    (r"patches/projection", ()),  # [pixels, width]
    (r"patches/bias", ()),
    (r"patches/(rows|columns)", ()),  # [128, width]
    (r"embedding/(ids|local)", ()),  # [ids, width]
    (r"transformer/positions", ()),  # [length, width]
    (r"noise/seed_generator_state", ()),
)
# Never cut along the data axis: all around convolutions. XLA's partitioner gets the gradients of
# their kernels wrong when these, or the projection behind them, are cut (jax 0.10.2, CPU).
_WHOLE = "embedding/patches/"
# The parts of the model that the rules know; a sequence model in place of ours is another's.
_OURS = ("embedding/", "transformer/", "final_norm/")


def make_mesh(devices: Sequence[jax.Device], model_parallel: int) -> Mesh:
    """The mesh of some devices: those that share matrices are neighbours, of one process.

    Raises:
      UsageError: so many devices cannot be split so.
    """
    on_process = len(devices) // len({device.process_index for device in devices})
    if on_process % model_parallel:
        raise UsageError(
            f"model_parallel is {model_parallel}, which does not divide the {on_process} devices "
            "of a process. Choose a divisor of that number."
        )
    ordered = sorted(devices, key=lambda device: (device.process_index, device.id))
    grid = np.array(ordered, dtype=object).reshape(-1, model_parallel)
    return Mesh(grid, (DATA, MODEL))


def rule(path: str) -> Cut:
    """How tensor parallelism cuts a variable, by its path.

    Variables of a sequence model that replaces the transformer are not cut.

    Raises:
      LookupError: a variable of this library's model that no rule knows.
    """
    for pattern, cut in _RULES:
        if re.search(rf"(^|/){pattern}$", path):
            return cut
    if path.startswith(_OURS):
        raise LookupError(f"{path}: no rule says how this variable is cut. Add one.")
    return ()


def spec_of(path: str, shape: Sequence[int], mesh: Mesh, fsdp: bool) -> PartitionSpec:
    """How a variable is cut.

    Args:
      path, shape: of the variable.
      mesh: of the devices.
      fsdp: whether to cut matrices and tables along the data axis, too: their longest dimension
        that can be. Each device then gathers a layer when it computes it.

    Returns:
      The cut, without what the shape cannot be divided by: there all devices have all of it.
    """
    cut = rule(path)
    axes = [
        axis if axis is not None and size % mesh.shape[axis] == 0 else None
        for axis, size in zip((*cut, *(None,) * (len(shape) - len(cut))), shape, strict=True)
    ]
    if fsdp and len(shape) >= 2 and not path.startswith(_WHOLE):
        open_ = [
            place
            for place, size in enumerate(shape)
            if axes[place] is None and size % mesh.shape[DATA] == 0
        ]
        if open_:
            axes[max(open_, key=lambda place: shape[place])] = DATA
    while axes and axes[-1] is None:
        axes.pop()
    return PartitionSpec(*axes)


def shardings_of(
    shapes: Mapping[str, Sequence[int]], mesh: Mesh, fsdp: bool
) -> dict[str, NamedSharding]:
    """How each variable is cut, by its path."""
    return {
        path: NamedSharding(mesh, spec_of(path, shape, mesh, fsdp))
        for path, shape in shapes.items()
    }


def rows(mesh: Mesh) -> NamedSharding:
    """Of everything in a batch: its first axis along the data axis."""
    return NamedSharding(mesh, PartitionSpec(DATA))


def replicated(mesh: Mesh) -> NamedSharding:
    """All of an array on every device."""
    return NamedSharding(mesh, PartitionSpec())
