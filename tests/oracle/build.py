"""What must hold over all records of a build, whichever windows and prompts were drawn."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from tests.oracle.source import Episode, Source

Record = Mapping[str, Any]


def check_build(
    records: Iterable[Record],
    source: Source,
    kept: Iterable[str] | None = None,
    windows: str = "cover",
    passes: int = 1,
) -> list[str]:
    """What is wrong with a build of one split as a whole; `explain` judges each record.

    Args:
      records: all sequence records of one data set and split.
      source: the data set and the settings of the build.
      kept: ids of the episodes of this split that passed the filter; default: every episode.
      windows: the config's `sequence.windows`; only "cover" promises every token, in every pass.
      passes: the config's `sequence.passes`.
    """
    records = list(records)
    wanted = set(source.episodes if kept is None else kept)
    problems = list(_unique(records))
    for record in records:
        name = record["sequence_id"]
        problems.extend(f"{name}: {line}" for line in _one(record, source, wanted, passes))
    problems.extend(_donors(records))
    if windows == "cover":
        for number in range(passes):
            problems.extend(_cover(records, source, wanted, number))
    return problems


def _unique(records: list[Record]) -> Iterator[str]:
    for name, count in Counter(record["sequence_id"] for record in records).items():
        if count > 1:
            yield f"sequence_id {name!r} occurs {count} times"


def _one(record: Record, source: Source, kept: set[str], passes: int) -> Iterator[str]:
    episode = source.episodes.get(record["episode_id"])
    if episode is None or record["episode_id"] not in kept:
        yield f"episode {record['episode_id']!r} was not kept"
        return
    if not 0 <= record["pass"] < passes:
        yield f"pass {record['pass']} is not in 0 … {passes - 1}"
    prompt, length = record["prompt_length"], record["length"]
    if not 0 <= prompt < length <= source.length:
        yield f"a prompt of {prompt} leaves no window in {length} of {source.length} tokens"
    start = record["window_start"]
    window = length - prompt - episode.lead(start)
    if not 0 <= start <= len(episode.tokens) - window:
        yield f"{window} tokens from {start} leave the episode's {len(episode.tokens)}"
    # Any token offset fills the room, once the episode is long. A window that begins with a
    # timestep may fall short where the episode ends, by less than the timestep before it.
    if source.align == "token":
        spare = min(source.length, prompt + len(episode.tokens)) - length
    elif 0 < start == len(episode.tokens) - window:
        spare = source.length - length - _before(episode, start) + 1
    else:
        spare = min(source.length - length, len(episode.tokens) - window)
    if spare > 0:
        yield f"not full: {length} tokens of {source.length}, the episode has more"
    if prompt:
        yield from _prompt(record, source, kept)


def _before(episode: Episode, start: int) -> int:
    """Tokens of the timestep before `start`, as the first of a window."""
    timestep = episode.tokens[start - 1].timestep
    steps = [token.timestep for token in episode.tokens]
    return len(episode.firsts.get(steps.index(timestep), [])) or steps.count(timestep)


def _prompt(record: Record, source: Source, kept: set[str]) -> Iterator[str]:
    episode = source.episodes[record["episode_id"]]
    donor = source.episodes.get(record["prompt_episode_id"])
    if donor is None or record["prompt_episode_id"] not in kept:
        yield f"donor {record['prompt_episode_id']!r} was not kept"
        return
    if donor.episode_id == episode.episode_id:
        yield "the prompt comes from the window's own episode"
    if (donor.task, donor.agent) != (episode.task, episode.agent):
        yield f"donor of another group: {(donor.task, donor.agent)}"
    start = record["prompt_start"]
    lent = record["prompt_length"] - donor.lead(start)
    if not 0 <= start <= len(donor.tokens) - lent:
        yield f"prompt of {lent} tokens from {start} leaves the donor's {len(donor.tokens)}"


def _donors(records: list[Record]) -> Iterator[str]:
    """In a pass an episode has one donor, and a donor serves one episode."""
    given: dict[tuple[int, str], set[str]] = defaultdict(set)
    taken: dict[tuple[int, str], set[str]] = defaultdict(set)
    for record in records:
        if record["prompt_length"]:
            taken[record["pass"], record["episode_id"]].add(record["prompt_episode_id"])
            given[record["pass"], record["prompt_episode_id"]].add(record["episode_id"])
    for (number, name), donors in taken.items():
        if len(donors) > 1:
            yield f"episode {name!r} has several donors in pass {number}: {sorted(donors)}"
    for (number, name), episodes in given.items():
        if len(episodes) > 1:
            yield f"donor {name!r} serves several episodes in pass {number}: {sorted(episodes)}"


def _cover(records: list[Record], source: Source, kept: set[str], number: int) -> Iterator[str]:
    seen: dict[str, set[int]] = defaultdict(set)
    for record in records:
        if record["pass"] == number:
            start = record["window_start"]
            window = record["length"] - record["prompt_length"]
            window -= source.episodes[record["episode_id"]].lead(start)
            seen[record["episode_id"]].update(range(start, start + window))
    for name in sorted(kept):
        missing = set(range(len(source.episodes[name].tokens))) - seen[name]
        if missing:
            yield (
                f"pass {number}: {len(missing)} tokens of episode {name!r} are in no window, "
                f"first {min(missing)}"
            )
