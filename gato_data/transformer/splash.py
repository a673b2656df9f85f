"""Splash attention: JAX's kernel for TPUs, which never has the scores of all places in memory.

It is causal, and blocks of places that nothing sees are skipped. On other devices it runs in
Pallas's interpreter, which gives the same numbers, slowly: for tests.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_kernel as kernels
from jax.experimental.pallas.ops.tpu.splash_attention import splash_attention_mask as masks
from jax.sharding import PartitionSpec

from gato_data.errors import UsageError

# The axes of a mesh along which rows and heads are cut, where it has them.
ROWS_AXIS, HEADS_AXIS = "data", "model"
# Places that the kernel works on at once: the largest that divides the length. It needs multiples
# of the 128 lanes of a TPU; 512 is the largest of which a tile of scores (1 MiB) is still small
# beside the memory of a core.
_BLOCKS = (512, 256, 128)


def splash(queries: Any, keys: Any, values: Any, segments: Any) -> Any:
    """Causal attention inside segments.

    Under a mesh (`jax.set_mesh`, or `jax.sharding.use_abstract_mesh` inside of `jax.jit`) each
    device computes its own rows and heads: the kernel is opaque to the compiler, which could
    otherwise only gather everything everywhere.

    Args:
      queries: [B, n, heads, head_size].
      keys, values: [B, n, kv_heads, head_size]; query head h has kv head h * kv_heads // heads.
      segments: int32 [B, n]; None: all places are of one.

    Returns:
      [B, n, heads, head_size], in the dtype of the values.

    Raises:
      UsageError: JAX runs on GPUs here.
    """
    if jax.default_backend() == "gpu":
        raise UsageError("attention is splash, which is for TPUs. Choose auto or jax on a GPU.")
    if segments is None:
        segments = jnp.zeros(queries.shape[:2], jnp.int32)
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.empty or mesh.size == 1:
        return _local(queries, keys, values, segments)
    rows = _axis(mesh, ROWS_AXIS, queries.shape[0])
    heads = _axis(mesh, HEADS_AXIS, queries.shape[2])
    if heads is not None and _axis(mesh, HEADS_AXIS, keys.shape[2]) is None:
        # Fewer kv heads than devices that share them: each device gets one for each of its queries.
        groups = queries.shape[2] // keys.shape[2]
        keys, values = (jnp.repeat(x, groups, axis=2) for x in (keys, values))
    cut = PartitionSpec(rows, None, heads, None)
    return jax.shard_map(
        _local,
        mesh=mesh,
        in_specs=(cut, cut, cut, PartitionSpec(rows, None)),
        out_specs=cut,
        check_vma=False,  # the kernel does not say along which axes its results vary
    )(queries, keys, values, segments)


def _axis(mesh: Any, name: str, size: int) -> str | None:
    """The axis of that name, if the mesh has it and the size can be cut along it."""
    return name if name in mesh.axis_names and size % mesh.shape[name] == 0 else None


def _local(queries: Any, keys: Any, values: Any, segments: Any) -> Any:
    """As `splash`, of the rows and heads of one device."""
    _, length, _, size = queries.shape
    missing = -length % _BLOCKS[-1]
    if missing:
        # No real place sees these, whatever their segment: they come after all of them.
        queries, keys, values = (
            jnp.pad(x, ((0, 0), (0, missing), (0, 0), (0, 0))) for x in (queries, keys, values)
        )
        segments = jnp.pad(segments, ((0, 0), (0, missing)))
    # The kernel does not scale the scores.
    scaled = (queries * jnp.asarray(size**-0.5, jnp.float32)).astype(values.dtype)
    given = *(jnp.swapaxes(x, 1, 2) for x in (scaled, keys.astype(values.dtype), values)), segments
    found = jax.lax.platform_dependent(
        *given,
        tpu=lambda *x: _kernel(*x, interpret=False),
        default=lambda *x: _kernel(*x, interpret=True),
    )
    return jnp.swapaxes(found, 1, 2)[:, :length]


def _kernel(queries: Any, keys: Any, values: Any, segments: Any, *, interpret: bool) -> Any:
    """Of queries [B, heads, n, size], keys and values [B, kv_heads, n, size]: as the queries."""
    heads, length = queries.shape[1:3]
    block = next(size for size in _BLOCKS if length % size == 0)
    kernel = kernels.make_splash_mha(
        masks.MultiHeadMask([masks.CausalMask((length, length))] * heads),
        block_sizes=kernels.BlockSizes(
            block_q=block,
            block_kv=block,
            block_q_dkv=block,
            block_kv_dkv=block,
            block_q_dq=block,
            block_kv_dq=block,
        ),
        head_shards=1,
        q_seq_shards=1,
        interpret=interpret,
    )

    def of_row(q: Any, k: Any, v: Any, segment: Any) -> Any:
        return kernel(q, k, v, segment_ids=kernels.SegmentIds(q=segment, kv=segment))

    return jax.vmap(of_row)(queries, keys, values, segments)
