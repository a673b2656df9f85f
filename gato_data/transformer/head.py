"""The output head: the table of ids again (appendix C.1, "shared embedding")."""

from typing import Any

import keras
from keras import ops


def logits(hidden: Any, table: Any) -> Any:
    """The score of each id: float32 [..., ids], of hidden [..., width] and table [ids, width].

    The products of bfloat16 are summed and kept in float32, where the backend can.
    """
    table = ops.cast(table, hidden.dtype)
    if keras.backend.backend() == "jax":
        import jax.numpy as jnp

        return jnp.einsum("...w,iw->...i", hidden, table, preferred_element_type=jnp.float32)
    # Not by `einsum`, which on TensorFlow has all products in memory before it sums them.
    return ops.cast(ops.matmul(hidden, ops.transpose(table)), "float32")
