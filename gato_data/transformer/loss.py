"""The masked cross-entropy of the paper (section 2.3), and what it is made of.

m(b, l) is 1 "if the token at index l is either from text or from the logged action of an agent";
the loader has it as `loss_mask`. The paper sums; what is minimised here is the sum over the number
of targets of the whole batch, on whatever devices its sequences lie.
"""

from typing import Any

from keras import ops

from gato_data.transformer.embedding import Inputs
from gato_data.transformer.model import Gato
from gato_data.vocabulary import ACTION_POSITION, Modality

# What a target is; one in a prompt is that first, and an action that is text is an action.
ROLES = ("text", "action", "prompt")


def loss_parts(
    model: Gato,
    batch: Inputs,
    *,
    training: bool,
    datasets: int = 1,
    target_budget: int | None = None,
) -> dict[str, Any]:
    """The sum of the losses of all targets, and of some of them, with their numbers.

    Args:
      model: predicts.
      batch: as of a call of the model, and `targets`, `loss_mask`, `modality` [B, L],
        `prompt_length` [B], and `dataset` int32 [B], below `datasets`.
      training: whether layers are skipped at random.
      datasets: D, of which `dataset` gives the number.
      target_budget: the head is computed at so many places of each block of rows (one block
        without images), if the targets of each find room; else, and with None, at all.

    Returns:
      `loss`, `targets` [], `role_loss`, `role_targets` [3] in the order of `ROLES`,
      `dataset_loss`, `dataset_targets` [D]; all float32, sums.
    """
    hidden = model(batch, training=training)
    weight = ops.cast(batch["loss_mask"], "float32")
    blocks = batch["patches"].shape[0] if "patches" in batch else 1
    places = weight.shape[0] * weight.shape[1] // blocks
    known = {
        "hidden": hidden,
        "weight": weight,
        "target": batch["targets"],
        "role": _roles(batch),
        "dataset": ops.broadcast_to(batch["dataset"][:, None], weight.shape),
    }
    flat = {name: ops.reshape(x, (blocks, places, *x.shape[2:])) for name, x in known.items()}

    def at_targets() -> dict[str, Any]:
        place = ops.arange(places, dtype="int32")[None]
        # Targets first, in their order: keys below `places` are theirs.
        order = ops.sort(ops.where(flat["weight"] > 0, place, place + places), axis=-1)
        chosen = order[:, :target_budget] % places
        return _sums(model, {name: _gather(x, chosen) for name, x in flat.items()}, datasets)

    if target_budget is None or target_budget >= places:
        return _sums(model, flat, datasets)
    most = ops.max(ops.sum(ops.cast(flat["weight"] > 0, "int32"), axis=-1))
    return ops.cond(most <= target_budget, at_targets, lambda: _sums(model, flat, datasets))


def _roles(batch: Inputs) -> Any:
    """The role of what each place predicts: int32 [B, L]."""
    place = ops.arange(batch["targets"].shape[1], dtype="int32")[None] + 1
    is_prompt = place < batch["prompt_length"][:, None]
    is_action = _next(batch["local_position"]) == ACTION_POSITION
    is_text = _next(batch["modality"]) == Modality.TEXT
    role = ops.where(ops.logical_and(is_text, ops.logical_not(is_action)), 0, 1)
    return ops.cast(ops.where(is_prompt, 2, role), "int32")


def _next(values: Any) -> Any:
    """Of each place the value of the one after it; the last has its own."""
    return ops.concatenate([values[:, 1:], values[:, -1:]], axis=1)


def _gather(values: Any, chosen: Any) -> Any:
    """[S, N, ...] at chosen [S, T] -> [S, T, ...]."""
    if len(values.shape) == 2:
        return ops.take_along_axis(values, chosen, axis=1)
    wide = ops.broadcast_to(chosen[..., None], (*chosen.shape, values.shape[-1]))
    return ops.take_along_axis(values, wide, axis=1)


def _sums(model: Gato, at: dict[str, Any], datasets: int) -> dict[str, Any]:
    counts = at["weight"]
    # Where nothing counts, not even what is not finite does: neither in the sum nor in a gradient.
    known = ops.where(counts[..., None] > 0, at["hidden"], ops.zeros_like(at["hidden"]))
    scores = model.logits(known)
    chosen = ops.take_along_axis(scores, ops.cast(at["target"], "int32")[..., None], axis=-1)
    each = (ops.logsumexp(scores, axis=-1) - chosen[..., 0]) * counts
    found = {"loss": ops.sum(each), "targets": ops.sum(counts)}
    for name, size in (("role", len(ROLES)), ("dataset", datasets)):
        members = ops.cast(at[name][..., None] == ops.arange(size, dtype="int32"), "float32")
        found[f"{name}_loss"] = ops.einsum("st,stk->k", each, members)
        found[f"{name}_targets"] = ops.einsum("st,stk->k", counts, members)
    return found
