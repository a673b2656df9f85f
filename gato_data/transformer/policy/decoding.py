"""Cached decoding: programs that are compiled for few shapes, and the cache that they work on.

Two programs do all the work. `advance` takes what is new in every row, usually one observation,
and samples the tokens of an action. `fill` takes long stretches, such as prompts and what is left
after a slide, of a few rows at a time: other rows need not wait for them as padding.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gato_data.errors import GatoDataError
from gato_data.sequencing import draws
from gato_data.transformer.backend import use_jax
from gato_data.transformer.policy.legal import Component
from gato_data.transformer.policy.step_tokens import NOTHING, Inputs, StepTokens, pack

# Tokens and rows of one call of `fill`: large enough for matrix products, small enough that
# padding costs little.
_FILL_TOKENS, _FILL_ROWS = 128, 8


# Draws are float32 below 1: 24 bits, as many as its mantissa.
_DRAW_STEPS = 1 << 24


def draw(seed: int, purpose: str, *names: draws.Name) -> np.float32:
    """A number in [0, 1) that belongs to these names."""
    return np.float32(int(draws.uniform(seed, purpose, *names) * _DRAW_STEPS) / _DRAW_STEPS)


class Decoder:
    """A model with a cache of some rows, each of which has its own context."""

    def __init__(
        self,
        model: Any,
        values: Sequence[Any],
        *,
        rows: int,
        capacity: int,
        components: Sequence[Component],
        temperature: float = 1.0,
    ) -> None:
        """Makes an empty cache.

        Args:
          model: a `Gato`.
          values: of its variables, in the order of `stateless.variables`.
          rows: B.
          capacity: tokens of a context.
          components: of what is sampled in a row, one token each.
          temperature: 0 takes the most probable id.
        """
        use_jax()
        self.rows = rows
        self._values = list(values)
        self._temperature = np.float32(temperature)
        self._fill_rows = min(_FILL_ROWS, rows)
        self._fill_tokens = min(_FILL_TOKENS, capacity)
        self._cache = model.empty_cache(rows, capacity)
        self._advance = _advance_program(model, tuple(components))
        self._fill = _fill_program(model)

    def fill(self, waiting: Mapping[int, tuple[StepTokens, int]]) -> None:
        """Writes tokens of some rows into the cache.

        Args:
          waiting: by row its new tokens, and how many are in the cache before them.
        """
        queue = [
            (row, tokens.cut(at, at + self._fill_tokens), filled + at)
            for row, (tokens, filled) in waiting.items()
            for at in range(0, len(tokens), self._fill_tokens)
        ]
        while queue:
            # A row's stretches follow each other, so one call takes one of each row.
            group: dict[int, tuple[StepTokens, int]] = {}
            rest = []
            for row, tokens, filled in queue:
                if row in group or len(group) == self._fill_rows:
                    rest.append((row, tokens, filled))
                else:
                    group[row] = tokens, filled
            queue = rest
            self._fill_group(group)

    def _fill_group(self, group: Mapping[int, tuple[StepTokens, int]]) -> None:
        spare = self._fill_rows - len(group)
        chosen = [tokens for tokens, _ in group.values()] + [NOTHING] * spare
        # Rows that do not exist are read as another, and not written.
        rows = np.array([*group, *[self.rows] * spare], np.int32)
        filled = np.array([filled for _, filled in group.values()] + [0] * spare, np.int32)
        inputs = pack(chosen, self._fill_tokens)
        self._cache = self._fill(self._values, self._cache, inputs, rows, filled)

    def advance(
        self,
        new: Mapping[int, StepTokens],
        filled: npt.NDArray[np.int32],
        width: int,
        uniform: npt.NDArray[np.float32],
    ) -> tuple[npt.NDArray[np.int32], Any]:
        """Writes new tokens into the cache and samples what follows.

        All sampled tokens but the last are in the cache afterwards.

        Args:
          new: of each row that takes part at least one token, and at most `width`.
          filled: int32 [B], tokens in the cache before them; of rows that take no part, too.
          width: n; every other value compiles another program.
          uniform: float32 [B, A], the draws.

        Returns:
          int32 [B, A], the sampled ids, and, on the device, float32 [B, A, W], the scores of the
          ids of each component's modality; rows that take no part have anything.

        Raises:
          GatoDataError: the model gives scores that are not finite.
        """
        most = self.rows * max(len(tokens.patches) for tokens in new.values())
        packed = pack([new.get(row, NOTHING) for row in range(self.rows)], width, most)
        counts = np.array([len(new.get(row, NOTHING)) for row in range(self.rows)], np.int32)
        self._cache, ids, scores, is_finite = self._advance(
            self._values, self._cache, packed, filled, counts, uniform, self._temperature
        )
        if not np.asarray(is_finite)[sorted(new)].all():
            raise GatoDataError(
                "The model gives scores that are not finite, so no action can be sampled. Its "
                "weights are damaged, or its training diverged: take another checkpoint."
            )
        return np.asarray(ids), scores


# Several policies of a model share its programs; a model is kept alive by them, so only a few are.
@lru_cache(maxsize=2)
def _fill_program(model: Any) -> Any:
    import jax

    return jax.jit(partial(_fill, model), donate_argnums=(1,))


@lru_cache(maxsize=8)
def _advance_program(model: Any, components: tuple[Component, ...]) -> Any:
    import jax

    return jax.jit(partial(_advance, model, components), donate_argnums=(1,))


def _fill(model: Any, values: Any, cache: Any, inputs: Inputs, rows: Any, filled: Any) -> Any:
    """The cache with new tokens [R, n] of the rows [R]; rows that do not exist are left out."""
    import jax

    from gato_data.transformer import stateless

    def extend(part: Any) -> Any:
        return model.extend(inputs, part, filled)[1]

    part = jax.tree.map(lambda held: held.at[rows].get(mode="clip"), cache)
    after, _ = stateless.call(model, values, extend, part)
    return jax.tree.map(lambda held, new: held.at[rows].set(new, mode="drop"), cache, after)


def _advance(
    model: Any,
    components: Sequence[Component],
    values: Any,
    cache: Any,
    inputs: Inputs,
    filled: Any,
    counts: Any,
    uniform: Any,
    temperature: Any,
) -> Any:
    """The cache with new tokens, the ids sampled after them, their scores, and of each row whether
    all of them are finite."""
    from keras import ops

    from gato_data.transformer import stateless

    def run() -> Any:
        found = _sample(model, components, cache, inputs, filled, counts, uniform, temperature)
        return *found, ops.all(ops.isfinite(found[2]), axis=(1, 2))

    return stateless.call(model, values, run)[0]


def _sample(
    model: Any,
    components: Sequence[Component],
    cache: Any,
    inputs: Inputs,
    filled: Any,
    counts: Any,
    uniform: Any,
    temperature: Any,
) -> Any:
    """The cache with new tokens, the ids sampled after them, and their scores."""
    import jax
    import jax.numpy as jnp

    from gato_data.transformer import head
    from gato_data.transformer.policy.sampling import choose
    from gato_data.vocabulary import ACTION_POSITION

    table = jnp.asarray(model.embedding.ids.value)
    width = max(component.width for component in components)
    # Of each component: where its modality begins, and what of it is legal.
    bounds = jnp.array([(c.start, c.low, c.high) for c in components], jnp.int32)

    def pick(hidden: Any, bound: Any, draw: Any) -> Any:
        start, low, high = bound
        known = jax.lax.dynamic_slice_in_dim(table, start, width)
        scores = head.logits(hidden, known)
        return start + choose(scores, low, high, draw, temperature), scores

    hidden, cache = model.extend(inputs, cache, filled)
    last = jnp.maximum(counts - 1, 0)[:, None, None]
    hidden = jnp.take_along_axis(hidden, last, axis=1)[:, 0]
    first_id, first_scores = pick(hidden, bounds[0], uniform[:, 0])
    if len(components) == 1:
        return cache, first_id[:, None], first_scores[:, None]

    def follow(carry: Any, given: Any) -> Any:
        held, known, place = carry
        bound, draw = given
        one = {
            "tokens": known[:, None],
            "local_position": jnp.full_like(known, ACTION_POSITION)[:, None],
        }
        found, held = model.extend(one, held, place)
        chosen, scores = pick(found[:, 0], bound, draw)
        return (held, chosen, place + 1), (chosen, scores)

    carry = cache, first_id, filled + counts
    (cache, _, _), (ids, scores) = jax.lax.scan(follow, carry, (bounds[1:], uniform[:, 1:].T))
    ids = jnp.concatenate([first_id[None], ids]).T
    scores = jnp.concatenate([first_scores[None], scores]).swapaxes(0, 1)
    return cache, ids, scores
