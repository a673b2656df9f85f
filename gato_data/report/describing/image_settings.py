"""`image_size` and `image_fit` of the config, and a smaller size where timesteps are large."""

from gato_data.report.describing.image_sizes import Size, best_size
from gato_data.report.describing.observation import Observation
from gato_data.report.describing.settings import Alternative, Setting, in_words
from gato_data.vocabulary import PATCH_SIDE

# A sequence should hold so many timesteps; where images leave room for few, smaller ones help.
_TIMESTEPS, _FEW = 8, 4
_NAMED = 3


def image_settings(
    observation: Observation, room: int, action_tokens: int, length: int
) -> list[Setting]:
    """What becomes of the images.

    Args:
      observation: with its images.
      room: tokens of an observation, at most.
      action_tokens: of a step.
      length: of a sequence.
    """
    plan = observation.images
    if not plan.kept:
        return []
    others = sum(x.tokens().most for x in observation.entries if x.is_used and not x.is_image)
    rest = others + 1 + action_tokens
    smaller: tuple[Alternative, ...] = ()
    if length // (rest + plan.tokens) < _FEW:
        smaller = _smaller(observation, length // _TIMESTEPS - rest)
    sizes = _in_words(sorted({size for image in plan.kept for size in image.sizes}))
    if plan.size:
        stored = sum(image.tokens(None, "resize_up").most for image in plan.kept)
        text = (
            f"images of {sizes} (height x width) are resized: as stored they take {stored} tokens "
            f"of the {room} that an observation may have"
        )
        why = f"{_patches(plan.size)} tokens an image; one size for all images"
        return [Setting("image_size", list(plan.size), why, (text,), smaller)]
    found = [Setting("image_size", alternatives=smaller)]
    if plan.fit != "error":
        text = f"images of {sizes} (height x width) are resized: sides must be multiples of 16"
        why = "resized to the next multiples; or pad, center_crop, or image_size: [height, width]"
        found.append(Setting("image_fit", plan.fit, why, (text,)))
    return found


def _smaller(observation: Observation, room: int) -> tuple[Alternative, ...]:
    """A size of the images that leaves room for more timesteps, if there is one."""
    images = observation.images.kept
    count = sum(image.tokens((PATCH_SIDE, PATCH_SIDE)).most for image in images)
    size = best_size([x for image in images for x in image.sizes], max(0, room) // max(1, count))
    if size is None:
        return ()
    why = f"{_patches(size)} tokens an image: {_TIMESTEPS} timesteps a sequence"
    return (Alternative(list(size), why),)


def _patches(size: Size) -> int:
    return size[0] * size[1] // PATCH_SIDE**2


def _in_words(sizes: list[Size]) -> str:
    shown = [f"{height} x {width}" for height, width in sizes[:_NAMED]]
    rest = len(sizes) - _NAMED
    return in_words(shown + [f"{rest} more sizes"] * (rest > 0))
