"""What a built sequence record says, against what the RLDS files say it should."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tests.oracle import rules
from tests.oracle.source import Episode, Source, Token

# Of one field; a shifted sequence would otherwise report every position.
MOST_REPORTS = 10

DTYPES = {
    "modality": "uint8",
    "loss_mask": "uint8",
    "local_position": "int16",
    "timestep": "int32",
    "segment": "int16",
    "patches": "uint8",
    "patch_rows": "uint8",
    "patch_columns": "uint8",
}


def explain(record: Mapping[str, Any], source: Source) -> list[str]:
    """Differences between a built record and its derivation from the RLDS files.

    Args:
      record: one sequence record by field name; arrays [L] and [n, width], ints, strings.
      source: the data set and the settings of the build.

    Returns:
      One line per difference with field, position, expected and found; empty when there is none.
    """
    unfounded = list(_provenance(record, source))
    if unfounded:
        return unfounded
    tokens = _expected_tokens(record, source)
    differences = list(_settings(record, source, tokens))
    for name, values in _expected_fields(tokens, source.length).items():
        differences.extend(_capped(name, list(_compare(name, values, record[name]))))
    differences.extend(_dtypes(record, source))
    return differences


def _provenance(record: Mapping[str, Any], source: Source) -> Iterator[str]:
    """What must hold before the record's tokens can be looked up at all."""
    episode = source.episodes.get(record["episode_id"])
    if episode is None:
        yield f"episode_id: no episode is called {record['episode_id']!r}"
    elif not 0 <= record["window_start"] < len(episode.tokens):
        yield f"window_start: {record['window_start']} is not in 0 … {len(episode.tokens) - 1}"
    if not 0 <= record["prompt_length"] < record["length"] <= source.length:
        yield (
            f"length: expected 0 <= prompt_length < length <= {source.length}, "
            f"found {record['prompt_length']} and {record['length']}"
        )
    donor = source.episodes.get(record["prompt_episode_id"])
    if record["prompt_length"] == 0:
        if record["prompt_episode_id"] != "":
            yield f"prompt_episode_id: expected '', found {record['prompt_episode_id']!r}"
        if record["prompt_start"] != rules.NOWHERE:
            yield f"prompt_start: expected -1 without a prompt, found {record['prompt_start']}"
    elif donor is None:
        yield f"prompt_episode_id: no episode is called {record['prompt_episode_id']!r}"
    elif record["prompt_start"] < 0 or record["prompt_length"] != len(
        donor.stretch(record["prompt_start"], record["prompt_length"])
    ):
        yield (
            f"prompt_start: {record['prompt_length']} tokens from {record['prompt_start']} "
            f"do not lie in the donor's {len(donor.tokens)}"
        )


def _expected_tokens(record: Mapping[str, Any], source: Source) -> list[Token]:
    """The donor's stretch, then the episode's tokens from the window's start on."""
    tokens: list[Token] = []
    if record["prompt_length"] > 0:
        donor = source.episodes[record["prompt_episode_id"]]
        for token in donor.stretch(record["prompt_start"], record["prompt_length"]):
            tokens.append(token if source.prompt.get("loss", True) else token._replace(loss=0))
    room = source.length - record["prompt_length"]
    if source.align == "timestep":
        # How much of the room whole timesteps fill is the build's choice.
        room = record["length"] - record["prompt_length"]
    return tokens + source.episodes[record["episode_id"]].stretch(record["window_start"], room)


def _settings(record: Mapping[str, Any], source: Source, tokens: list[Token]) -> Iterator[str]:
    episode: Episode = source.episodes[record["episode_id"]]
    expected: dict[str, Any] = {
        "length": len(tokens),
        "dataset": source.config["name"],
        "task": episode.task,
    }
    if source.config.get("agent"):
        expected["agent"] = episode.agent
    for name, value in expected.items():
        if record[name] != value:
            yield f"{name}: expected {value!r}, found {record[name]!r}"
    longest = source.prompt.get("length", 512)
    if record["prompt_length"] > longest:
        yield f"prompt_length: expected at most {longest}, found {record['prompt_length']}"
    if source.align == "timestep":
        yield from _inside("window_start", record["window_start"], episode)
        if record["prompt_length"] > 0:
            donor = source.episodes[record["prompt_episode_id"]]
            yield from _inside("prompt_start", record["prompt_start"], donor)


def _inside(name: str, start: int, episode: Episode) -> Iterator[str]:
    if start > 0 and episode.tokens[start].timestep == episode.tokens[start - 1].timestep:
        yield f"{name}: {start} is inside timestep {episode.tokens[start].timestep}"


def _expected_fields(tokens: list[Token], length: int) -> dict[str, list[Any]]:
    padding = Token(rules.PADDING, rules.M_PADDING, 0, rules.NOWHERE, rules.NOWHERE)
    padded = tokens + [padding] * (length - len(tokens))
    images = [token for token in tokens if token.patch is not None]
    return {
        "tokens": [token.id for token in padded],
        "modality": [token.modality for token in padded],
        "loss_mask": [token.loss for token in padded],
        "local_position": [token.local_position for token in padded],
        "timestep": [token.timestep for token in padded],
        "segment": [0] * len(tokens) + [rules.NOWHERE] * (length - len(tokens)),
        "patches": [list(token.patch or b"") for token in images],
        "patch_rows": [list(token.rows or ()) for token in images],
        "patch_columns": [list(token.columns or ()) for token in images],
    }


def _compare(name: str, expected: list[Any], found: Any) -> Iterator[str]:
    if len(found) != len(expected):
        yield f"{name}: expected {len(expected)} rows, found {len(found)}"
        return
    for position, (want, got) in enumerate(zip(expected, found, strict=True)):
        if not isinstance(want, list):
            if int(got) != want:
                yield f"{name}[{position}]: expected {want}, found {int(got)}"
        elif len(got) != len(want):
            yield f"{name}[{position}]: expected {len(want)} values, found {len(got)}"
        else:
            row = bytes(want)
            if np.asarray(got, np.int64).tolist() != want:
                first = next(at for at, value in enumerate(row) if int(got[at]) != value)
                yield (
                    f"{name}[{position}, {first}]: expected {want[first]}, found {int(got[first])}"
                )


def _capped(name: str, lines: list[str]) -> list[str]:
    if len(lines) <= MOST_REPORTS:
        return lines
    return [*lines[:MOST_REPORTS], f"{name}: and {len(lines) - MOST_REPORTS} more"]


def _dtypes(record: Mapping[str, Any], source: Source) -> Iterator[str]:
    """Of the fields that are arrays; lists have no dtype."""
    largest = max(rules.IMAGE, source.discrete_offset + 1023)
    for name, dtype in (DTYPES | {"tokens": "uint16" if largest < 2**16 else "uint32"}).items():
        values = record[name]
        if isinstance(values, np.ndarray) and values.dtype.name != dtype:
            yield f"{name}: expected {dtype}, found {values.dtype.name}"
