"""Plans of batches through Grain, gathered ahead by threads.

Only numbers of sequences travel into it. The state of a stream does not come from Grain, whose
state names workers: each plan carries the position after it, which is all that a resume needs.

Threads, as gathering is copying, for which numpy lets go of the interpreter's lock. Grain's worker
processes hand each array over as a file of shared memory, so that a program that keeps a hundred
batches runs out of file descriptors.
"""

from collections.abc import Callable
from typing import Any

import grain

from gato_data.loading.batches import Batch
from gato_data.loading.planning import BatchPlan, Planner, Position

MakePlanner = Callable[[Position], Planner]
Gather = Callable[[BatchPlan], Batch]
Step = tuple[Batch, Position]


class _Plans(grain.IterDataset[tuple[BatchPlan, Position]]):
    """All plans from a position on, or every n-th where several threads share them."""

    def __init__(self, make: MakePlanner, position: Position) -> None:
        super().__init__()
        self._make, self._position = make, position
        self._slice = slice(0, None, 1)

    def set_slice(self, given: slice, sequential_slice: bool = False) -> None:
        """As Grain asks of sources that are shared by workers."""
        if sequential_slice:
            raise NotImplementedError("plans are shared in turn")
        self._slice = given

    def __iter__(self) -> "_PlanIterator":
        return _PlanIterator(self._make(self._position), self._slice)


class _PlanIterator(grain.DatasetIterator[tuple[BatchPlan, Position]]):
    def __init__(self, planner: Planner, share: slice) -> None:
        super().__init__()
        self._planner = planner
        self._skip, self._between = share.start or 0, (share.step or 1) - 1

    def __next__(self) -> tuple[BatchPlan, Position]:
        plan: BatchPlan | None = None
        for _ in range(self._skip + 1):
            plan = self._planner.next()
        self._skip = self._between
        if plan is None:
            raise StopIteration
        return plan, self._planner.position

    def get_state(self) -> dict[str, Any]:
        """Of the stream alone; nothing is resumed from it."""
        return {"position": self._planner.position}

    def set_state(self, state: dict[str, Any]) -> None:
        self._planner.position = state["position"]


def run(
    make: MakePlanner, gather: Gather, position: Position, *, workers: int, prefetch: int
) -> grain.DatasetIterator[Step]:
    """The batches from a position on, each with the position after it.

    Args:
      make: makes a planner that stands at a position.
      gather: makes the batch of a plan.
      position: to begin at.
      workers: threads that gather ahead; 0: each batch is made when it is asked for.
      prefetch: batches made ahead, by each thread.
    """
    steps: grain.IterDataset[Step] = _Plans(make, position).map(_Gathering(gather))
    if workers > 1:
        return iter(
            grain.experimental.multithread_prefetch(
                steps, num_threads=workers, buffer_size=prefetch
            )
        )
    return iter(
        grain.experimental.ThreadPrefetchIterDataset(
            steps, prefetch_buffer_size=prefetch if workers else 0
        )
    )


class _Gathering(grain.transforms.Map):
    """Gathers the batch of a plan and hands the position on."""

    def __init__(self, gather: Gather) -> None:
        self._gather = gather

    def map(self, element: tuple[BatchPlan, Position]) -> Step:
        plan, position = element
        return self._gather(plan), position
