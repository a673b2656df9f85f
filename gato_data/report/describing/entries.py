"""One key of the steps, and what becomes of it: tokens of a modality, or nothing and why."""

import math
import re
from dataclasses import dataclass, replace

import numpy as np

from gato_data.readers.features import IMAGE, TEXT, Leaf
from gato_data.readers.tensors import BFLOAT16
from gato_data.report.describing.extents import Extent
from gato_data.report.describing.facts import Facts
from gato_data.report.describing.key_facts import KeyFacts, Tally
from gato_data.report.describing.text_looks import why_no_language
from gato_data.report.describing.yaml_text import why_unwritable
from gato_data.sequencing.episode import Field
from gato_data.tokenizers.companding import M
from gato_data.vocabulary import DISCRETE_SIZE, PATCH_SIDE, Modality

# From so many numbers on, a key called an embedding holds a vector of a model, not a reading.
_EMBEDDING = 64
_EMBEDDING_NAME = re.compile("embed|_emb$|_emb_", re.IGNORECASE)


@dataclass(frozen=True, eq=False)
class Entry:
    """A key of the steps.

    Attributes:
      leaf: the key.
      facts: what was seen of it; None where nothing could be.
      modality: a value of `Modality`; None where it has none.
      override: what `modalities` must call it, where its feature does not say so; else None.
      is_used: whether the config selects it.
      remark: why it is left out, or what is to be known of it; None: nothing.
      is_possible: whether it could be used in spite of the remark.
      is_warning: whether people should look at the remark.
      is_blank: whether its images show nothing.
    """

    leaf: Leaf
    facts: KeyFacts | None = None
    modality: int | None = None
    override: str | None = None
    is_used: bool = True
    remark: str | None = None
    is_possible: bool = True
    is_warning: bool = False
    is_blank: bool = False

    @property
    def path(self) -> str:
        return self.leaf.path

    @property
    def is_image(self) -> bool:
        return self.modality == Modality.IMAGE

    @property
    def is_text(self) -> bool:
        return self.modality == Modality.TEXT

    @property
    def sort_key(self) -> list[str]:
        return self.path.split("/")

    def left_out(self, reason: str, is_possible: bool = False, is_warning: bool = False) -> "Entry":
        if is_possible and self.override:
            reason += f"; to use it, call it {self.override} under `modalities`, too"
        return replace(
            self, is_used=False, remark=reason, is_possible=is_possible, is_warning=is_warning
        )

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Height and width of its images: as declared, or as seen."""
        height, width = self.leaf.shape[-3:-1] if self.is_image else (None, None)
        if height is not None and width is not None:
            return [(height, width)]
        return sorted(self.facts.sizes) if self.facts else []

    def tokens(self, size: tuple[int, int] | None = None, fit: str = "error") -> Tally:
        """Tokens of a step.

        Args:
          size, fit: `image_size` and `image_fit` of the config.

        Raises:
          ValueError: its images have no whole patches.
        """
        assert self.facts is not None
        entries = self.facts.entries
        if self.is_text:
            return self.facts.tokens
        if not self.is_image:
            return entries
        field = Field(self.path, False, Modality.IMAGE, self.leaf.step_shape, size, fit)
        most = max((math.prod(field.grid(found)) for found in self.sizes), default=0)
        images = entries
        if self.leaf.kind != IMAGE:
            pixels = math.prod(side or 0 for side in self.leaf.shape[-3:])
            images = Tally(entries.count, entries.total // pixels, entries.most // pixels)
        return Tally(images.count, images.total * most, images.most * most)


def entry_of(leaf: Leaf, facts: Facts, last_step: str, is_action: bool = False) -> Entry:
    """A key with its modality, or with the reason why it can have none.

    Args:
      leaf: of a step.
      facts: of the data set.
      last_step: "drop" or "keep"; the values of last steps count only where they are kept.
      is_action: its role.
    """
    seen = facts.keys.get(leaf.path)
    entry = Entry(leaf, seen)
    problem = why_unwritable(leaf.path) or leaf.obstacle or _ambiguous(leaf, facts)
    if problem:
        return entry.left_out(problem)
    if leaf.path in facts.faults:
        count, why = facts.faults[leaf.path]
        where = f"in {count} of {facts.episodes} episodes it cannot be read"
        return entry.left_out(f"{where}: {why}", is_warning=True)
    if seen is None:
        return entry.left_out("nothing of it was seen")
    extent = extent_that_counts(seen, facts, last_step)
    modality, override = _modality(leaf, extent, is_action)
    entry = replace(entry, modality=modality, override=override)
    return _judged(entry, seen, extent, is_action)


def extent_that_counts(seen: KeyFacts, facts: Facts, last_step: str) -> Extent | None:
    """The values of the steps that become tokens; None where they are no numbers."""
    if seen.body is None or seen.last is None:
        return None
    # Where no step is marked as the last one, none is dropped.
    every = last_step == "keep" or facts.ends.whole > 0
    return seen.body + seen.last if every else seen.body


def _ambiguous(leaf: Leaf, facts: Facts) -> str | None:
    """A path selects all that lies below it, so that two keys must not be called alike."""
    for path in facts.leaves:
        if path.startswith(f"{leaf.path}/") or leaf.path.startswith(f"{path}/"):
            return "its path is the beginning of another one, or the other way round"
    return None


def _modality(leaf: Leaf, extent: Extent | None, is_action: bool) -> tuple[int, str | None]:
    """The modality, and how `modalities` must call it, if the feature does not say."""
    if leaf.kind == TEXT:
        return Modality.TEXT, None
    if leaf.kind == IMAGE:
        return Modality.IMAGE, None
    if leaf.dtype == "string":
        return Modality.TEXT, "text"
    if leaf.dtype == BFLOAT16 or np.dtype(leaf.dtype).kind == "f":
        return Modality.CONTINUOUS, None
    if not is_action and is_picture(leaf):
        return Modality.IMAGE, "image"
    if extent is None or extent.is_empty or _is_discrete(extent):
        return Modality.DISCRETE, None
    return Modality.CONTINUOUS, "continuous"


def is_picture(leaf: Leaf) -> bool:
    """Whether a tensor of bytes has the shape of images: [..., height, width, channels]."""
    if leaf.dtype != "uint8" or len(leaf.shape) < 3 or leaf.shape[-1] not in (1, 3, 4):
        return False
    return all(side is not None and side >= PATCH_SIDE for side in leaf.shape[-3:-1])


def _is_discrete(extent: Extent) -> bool:
    return extent.lowest >= 0 and extent.highest < DISCRETE_SIZE


def _judged(entry: Entry, seen: KeyFacts, extent: Extent | None, is_action: bool) -> Entry:
    """The entry, left out where its values rule it out."""
    if not seen.entries.total:
        return entry.left_out("it has no values")
    if entry.is_text:
        return _judged_text(entry, seen)
    if entry.is_image:
        if is_action:
            return entry.left_out("an image; images have no ids that an action could be")
        is_blank = seen.is_blank if extent is None else not extent.varies
        if is_blank:
            why = "blank: of one colour in each image that was looked at"
            return replace(entry, is_blank=True).left_out(why, is_possible=True)
        return entry
    if extent is not None and not extent.is_finite:
        why = "NaN or infinite values were seen; they have no token"
        return entry.left_out(why, is_warning=True)
    if _is_embedding(entry.leaf):
        size = entry.leaf.step_size
        why = f"an embedding of {size} values: the vector of a model, no reading"
        return entry.left_out(why, is_possible=True)
    if entry.modality == Modality.CONTINUOUS and not is_action and _saturates(extent):
        why = f"values beyond ±{M:g} share the outermost bins, by the paper's companding"
        return replace(entry, remark=why)
    return entry


def _saturates(extent: Extent | None) -> bool:
    return extent is not None and not extent.is_empty and (extent.lowest < -M or extent.highest > M)


def _judged_text(entry: Entry, seen: KeyFacts) -> Entry:
    if not seen.is_utf8:
        return entry.left_out("it is not UTF-8", is_warning=True)
    reason = why_no_language(seen.texts, entry.override is None)
    return entry.left_out(reason, is_possible=True) if reason else entry


def _is_embedding(leaf: Leaf) -> bool:
    if leaf.dtype != BFLOAT16 and np.dtype(leaf.dtype).kind != "f":
        return False
    is_named = _EMBEDDING_NAME.search(leaf.path.rpartition("/")[2]) is not None
    return is_named and (leaf.step_size or 0) >= _EMBEDDING
