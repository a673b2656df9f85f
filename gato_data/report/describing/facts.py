"""What was seen of a data set in the first episodes: everything that a proposal rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gato_data.readers.features import Leaf
from gato_data.readers.source import Scalar
from gato_data.report.describing.key_facts import KeyFacts, Tally


@dataclass(frozen=True)
class Rewards:
    """The rewards of one episode.

    Attributes:
      before: sum of all but the last.
      last: the last one.
      is_success_mark: whether all are 0 or 1, and 0 before the last two steps.
    """

    before: float
    last: float
    is_success_mark: bool

    def of(self, last_step: str) -> float:
        """The return."""
        return self.before + self.last if last_step == "keep" else self.before


@dataclass(frozen=True)
class Ends:
    """How the episodes end.

    Attributes:
      dropped: episodes of which `last_step: drop` leaves the last step out.
      whole: episodes of which it leaves nothing out, because no step is marked as the last.
      lone: episodes that have no other step.
      misplaced: what is wrong with the marks of the first episode in which steps follow a last one.
    """

    dropped: int = 0
    whole: int = 0
    lone: int = 0
    misplaced: str | None = None


@dataclass(frozen=True)
class Facts:
    """What was seen of a data set.

    Attributes:
      leaves: everything that it holds, by path.
      files: number of its files.
      total: number of its episodes, or None where it does not say.
      read: names of the files that were read from.
      episodes: that could be read.
      unusable: what is wrong with the others, in the order of reading.
      steps: of the episodes.
      keys: what was seen of each key of the steps.
      faults: by key, in how many episodes it could not be read, and why in the first of them.
      scalars: by path, for each field of one text or number its value in each episode.
      rewards: of each episode; None where the steps have no reward of one number.
      ends: how the episodes end.
    """

    leaves: Mapping[str, Leaf]
    files: int
    total: int | None
    read: Sequence[str]
    episodes: int
    unusable: Sequence[str]
    steps: Tally
    keys: Mapping[str, KeyFacts]
    faults: Mapping[str, tuple[int, str]]
    scalars: Mapping[str, Sequence[Scalar]]
    rewards: Sequence[Rewards] | None
    ends: Ends
