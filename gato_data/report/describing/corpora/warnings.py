"""What people should look at before they build from a corpus."""

from collections import Counter
from collections.abc import Iterator

from gato_data.config import OutputConfig, PairsConfig, PictureConfig
from gato_data.readers.corpora.fields import IMAGE
from gato_data.report.describing.corpora.cells import in_colours, other_colours, sides
from gato_data.report.describing.corpora.field_facts import SeenImage
from gato_data.report.describing.corpora.proposal import CorpusProposal
from gato_data.report.text_page import escape
from gato_data.wording import counted

# Where a side of one image is so many times that of another, few of them keep what they show.
_MANY_TIMES = 4
# Bytes of a packed file that make a shard of the usual size, about: tokens, with all that a record
# says of each, take several times as much as the packed text or image.
_LARGE = OutputConfig().shard_size // 8
# Reasons that are given.
_REASONS = 3


def seen_images(proposal: CorpusProposal) -> list[SeenImage]:
    """The images of the field that is used."""
    choice = proposal.meaning.roles.get(IMAGE)
    fields = proposal.looked.fields
    return [image for path in choice.paths for image in fields[path].images] if choice else []


def record_warnings(proposal: CorpusProposal) -> Iterator[str]:
    """Records that cannot be used."""
    faults = proposal.trial.faults
    if not faults:
        return
    tried = counted(proposal.looked.records, "record")
    counts = Counter(fault.reason for fault in faults).most_common()
    reasons = [_reason(proposal, *found) for found in counts[:_REASONS]]
    more = sum(count for _, count in counts[_REASONS:])
    reasons += [f"{more} for other reasons"] * bool(more)
    yield (
        f"{len(faults)} of the {tried} looked at cannot be used: {'; '.join(reasons)}. `plan` puts "
        "such records into quarantine, and gives up where they are too many."
    )


def _reason(proposal: CorpusProposal, reason: str, count: int) -> str:
    first = next(x for x in proposal.trial.faults if x.reason == reason)
    such_as = "such as " * (count > 1)
    return f"{count} because {escape(reason)} ({such_as}{escape(first.place)})"


def image_warnings(proposal: CorpusProposal) -> Iterator[str]:
    """Images of other colours, and of sizes that differ much."""
    images, dataset = seen_images(proposal), proposal.dataset
    if not images or not isinstance(dataset, PictureConfig):
        return
    others = other_colours(images)
    if others:
        which = "all" if others.total() == len(images) else f"{others.total()}"
        yield (
            f"{which} of the {len(images)} images seen are no RGB ({in_colours(others)}): they "
            "become RGB, and an alpha is dropped"
        )
    heights, widths = [x.height for x in images], [x.width for x in images]
    if any(max(found) >= _MANY_TIMES * min(found) for found in (heights, widths)):
        size = " x ".join(map(str, dataset.image_size)) if dataset.image_size else "their own size"
        yield (
            f"images of very different sizes ({sides(images)}) are brought to {size}, by "
            f"`image_fit: {dataset.image_fit}`"
        )


def pair_warnings(proposal: CorpusProposal) -> Iterator[str]:
    """Fewer records than pairs."""
    dataset = proposal.dataset
    if isinstance(dataset, PairsConfig) and dataset.pairs < PairsConfig.pairs:
        usable = counted(dataset.pairs, "record")
        yield (
            f"there are {usable} that can be used, fewer than the {PairsConfig.pairs} pairs that a "
            "sequence is made of in the paper"
        )


def file_warnings(proposal: CorpusProposal) -> Iterator[str]:
    """Files that are one piece of work each, where that makes large shards."""
    whole = proposal.looked.whole
    if max(whole, default=0) > _LARGE:
        yield (
            f"{len(whole)} of {counted(proposal.looked.files, 'file')} are compressed as a whole, "
            f"so each is one piece of work and one shard; the largest has {max(whole) / 1e6:,.1f} "
            "MB. Many smaller files, or uncompressed ones, are spread more evenly."
        )
