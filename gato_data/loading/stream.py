"""A stream of batches as it was asked for: all that is needed to make it in any process."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from operator import index
from typing import Any

import numpy as np
import xxhash

from gato_data.errors import UsageError
from gato_data.loading.batches import Batch, BatchShape, assemble
from gato_data.loading.hosts import Host
from gato_data.loading.order import Integers, Order, Part
from gato_data.loading.patch_positions import PatchPositions
from gato_data.loading.planning import MOST_WAITING, BatchPlan, Epochs, Planner, Position, Room
from gato_data.loading.shards import Shards
from gato_data.loading.sources import Source
from gato_data.loading.targets import Roles

_STATE_VERSION = 1
# A hundred times the training of the paper; a mixture is entered there in half a minute.
_FARTHEST = 1 << 36


@dataclass(frozen=True, eq=False)
class Stream:
    """A stream of batches.

    Attributes:
      sources: that are drawn from; their sequences are numbered in this order.
      parts: of the order.
      seed: of the order.
      epochs: how far it goes; None: without end.
      room: of a batch, all hosts together.
      drop_last: whether to leave out the last batch of an epoch where it has empty rows.
      host: whose slice is gathered.
      shards: hold the sequences.
      shape: of the batches of a host.
      roles: which tokens count in the loss.
      positions: choose the rows and columns of patches.
      identity: of everything that the order depends on.
    """

    sources: tuple[Source, ...]
    parts: tuple[Part, ...]
    seed: int
    epochs: Epochs | None
    room: Room
    drop_last: bool
    host: Host
    shards: Shards
    shape: BatchShape
    roles: Roles
    positions: PatchPositions
    identity: str

    def __deepcopy__(self, _: dict[int, Any]) -> "Stream":
        # Grain copies what threads run; nothing here changes, and shards are opened once for all.
        return self

    def planner(self, position: Position) -> Planner:
        """A planner that stands at a position."""
        order = Order(self.parts, self.seed)
        planner = Planner(order, self.epochs, self.room, self._images_of, self.drop_last)
        planner.position = position
        return planner

    def gather(self, plan: BatchPlan) -> Batch:
        """The slice of a batch that belongs to this host. Raises GatoDataError, OSError."""
        own = self.host.slice_of(self.room.rows)
        rows, epochs = plan.rows[own].tolist(), plan.epochs[own].tolist()
        return assemble(self.shards, rows, epochs, self.shape, self.roles, self.positions)

    def _images_of(self, rows: Integers) -> Integers:
        return self._image_tokens[rows]

    @cached_property
    def _image_tokens(self) -> Integers:
        """int64 [n], the image tokens of all sequences."""
        entries = [entry for source in self.sources for entry in source.entries]
        return np.concatenate(
            [
                np.zeros(x.sequences, np.int32) if x.image_tokens is None else x.image_tokens
                for x in entries
            ]
        )

    def to_state(self, position: Position) -> dict[str, Any]:
        """A position as plain JSON, less than a kilobyte."""
        # Those that wait are near: differences are short.
        waiting = [position.place - place for place in position.waiting]
        return {
            "version": _STATE_VERSION,
            "stream": self.identity,
            "place": position.place,
            "waiting": waiting,
            "batches": position.batches,
        } | ({} if self.room.patches is None else {"room": self._room_of_patches()})

    def _room_of_patches(self) -> list[int | None]:
        return [self.room.shards, self.room.patches]

    def from_state(self, state: Mapping[str, Any]) -> Position:
        """The position of a state.

        Raises:
          UsageError: it is none, or of another stream.
        """
        try:
            version, identity = state["version"], state["stream"]
            # Checkpoints may give numpy's integers back; neither texts nor fractions are meant.
            place, batches = index(state["place"]), index(state["batches"])
            waiting = tuple(place - index(behind) for behind in state["waiting"])
        except (KeyError, TypeError):
            raise UsageError("This is no state of a loader: it comes from `get_state`.") from None
        if version != _STATE_VERSION:
            raise UsageError(f"The state is of version {version}; this is {_STATE_VERSION}.")
        if identity != self.identity:
            raise UsageError(
                "The state belongs to another stream: the data, their weights, the seed, the split "
                "or the order are others. Load as when the state was made."
            )
        in_order = all(one < after for one, after in pairwise((-1, *waiting, place)))
        last = _FARTHEST if self.epochs is None else self.epochs.count * self.epochs.length
        if not 0 <= place <= last or batches < 0 or not in_order or len(waiting) > MOST_WAITING:
            raise UsageError("This is no state of a loader: it names places that cannot be.")
        if waiting and self.room.patches is None:
            raise UsageError(
                "Sequences of the state wait for room for their patches, and this stream has none "
                'to wait for. Load with images="packed", as when the state was made.'
            )
        room = state.get("room", self._room_of_patches())
        if not isinstance(room, list | tuple) or len(room) != 2:
            raise UsageError("This is no state of a loader: its room is no pair of numbers.")
        if self.room.patches is not None and list(room) != self._room_of_patches():
            raise UsageError(
                "The state is of batches with another room for patches, which other sequences fit "
                f"into. Load with data_shards={room[0]} and patch_budget={room[1]}, as when the "
                "state was made."
            )
        return Position(place, waiting, batches)


def identity_of(sources: Sequence[Source], *options: Any) -> str:
    """Names what an order depends on: sequences and weights, wherever the data lie."""
    hasher = xxhash.xxh3_64(repr(options).encode())
    for source in sources:
        content = source.build.manifest["datasets"][source.dataset]["content"]
        counts = [(entry.sequences, entry.pass_number) for entry in source.entries]
        hasher.update(repr((source.dataset, source.weight, content, counts)).encode())
    return hasher.hexdigest()
