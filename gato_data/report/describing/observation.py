"""Which keys are observed: all that can become tokens and have room in a step."""

from collections.abc import Sequence
from dataclasses import dataclass

from gato_data.report.describing.entries import Entry
from gato_data.report.describing.image_sizes import LEAST_PATCHES, ImagePlan, plan_images
from gato_data.vocabulary import LOCAL_POSITIONS


@dataclass(frozen=True)
class Observation:
    """The observation of a step.

    Attributes:
      entries: all keys that were thought of, in token order; those left out have a reason.
      images: what becomes of the images.
      warnings: what people should look at.
    """

    entries: tuple[Entry, ...]
    images: ImagePlan
    warnings: tuple[str, ...] = ()


def fit_observation(entries: Sequence[Entry], room: int) -> Observation:
    """Leaves out whole keys, and makes images smaller, until a step has room for the rest.

    Numbers and texts come first, the small ones before the large ones; images share what is left.

    Args:
      entries: candidates; some may be left out already.
      room: tokens of an observation, at most.
    """
    candidates = [entry for entry in entries if entry.is_used]
    images = [entry for entry in candidates if entry.is_image]
    reserved = min((_least(image) for image in images), default=0)
    used = 0
    decided = {entry.path: entry for entry in entries}
    others = [entry for entry in candidates if not entry.is_image]
    for entry in sorted(others, key=lambda entry: (entry.tokens().most, entry.sort_key)):
        tokens = entry.tokens().most
        if used + tokens <= room - min(reserved, room):
            used += tokens
        else:
            decided[entry.path] = entry.left_out(_too_many(tokens, room), tokens <= room, True)
    plan = plan_images(images, room - used)
    for image in images:
        if image not in plan.kept:
            decided[image.path] = image.left_out(
                f"no room: other keys take {used + plan.tokens} of the {room} observation tokens",
                is_possible=True,
                is_warning=True,
            )
    ordered = sorted(decided.values(), key=lambda entry: entry.sort_key)
    stored = sum(entry.tokens(None, "resize_up").most for entry in candidates)
    warnings: tuple[str, ...] = ()
    if stored > room:
        warnings = (
            f"with all keys as they are stored a step has {stored} observation tokens, more than "
            f"the {room} that are possible",
        )
    return Observation(tuple(ordered), plan, warnings)


def room_of(length: int, action_tokens: int) -> int:
    """Observation tokens of a step: the local positions, as far as the sequence is long enough."""
    return max(0, min(LOCAL_POSITIONS, length - 1 - action_tokens))


def _least(image: Entry) -> int:
    """Tokens of the image when it is as small as is worth having."""
    stored = image.tokens(None, "resize_up")
    return min(LEAST_PATCHES, stored.most)


def _too_many(tokens: int, room: int) -> str:
    if tokens > room:
        return f"{tokens} tokens, and the observation of a step has room for {room}"
    return f"no room for its {tokens} tokens: with all keys a step has more than {room}"
