"""What a training reads: data sets of one or several finished builds, each with its weight."""

import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from numbers import Real
from typing import Any

from gato_data.config_reading import DocumentError, read_document
from gato_data.errors import UsageError
from gato_data.loading.directory import Build, ShardEntry, open_build
from gato_data.records.manifest import MANIFEST
from gato_data.storage import files

# A directory, a file of weights, several directories, or weights of directories.
Wanted = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[Any, Any]

_EXAMPLE = (
    "give a mapping of directories to weights, {builds/robots: 85.3, builds/web: 14.7}, or to "
    "{weight: 85.3, datasets: {bridge: 2, kuka: 1}}"
)


@dataclass(frozen=True)
class Source:
    """A data set to draw from.

    Attributes:
      build: that it is part of.
      dataset: its name there.
      weight: positive; only its share of all counts.
      entries: its shards of the split.
    """

    build: Build
    dataset: str
    weight: float
    entries: tuple[ShardEntry, ...]

    @property
    def sequences(self) -> int:
        return sum(entry.sequences for entry in self.entries)


def read_sources(
    wanted: Wanted,
    split: str,
    datasets: Sequence[str] | None = None,
    weights: Mapping[str, float] | None = None,
) -> tuple[Source, ...]:
    """The data sets that have sequences in a split.

    Args:
      wanted: see `load`.
      split: "train" or "validation".
      datasets: names of data sets; None: all.
      weights: of data sets by name, instead of those of the manifests.

    Raises:
      UsageError: there is no such build, split or data set; a weight is no positive number or
        names nothing; or the builds do not fit together.
    """
    for option, value in (("datasets", datasets), ("weights", weights)):
        if value is not None and not value:
            raise UsageError(f"{option} names no data set: leave it out for all of them.")
    if datasets is not None and weights is not None and not set(datasets) & set(weights):
        raise UsageError(f"weights has none for any of {', '.join(datasets)}: only they are read.")
    for option, value, kind in (("datasets", datasets, Sequence), ("weights", weights, Mapping)):
        if value is not None and (isinstance(value, str) or not isinstance(value, kind)):
            what = "a list of names" if kind is Sequence else "a mapping of names to numbers"
            raise UsageError(f"{option} is {value!r}, but must be {what}.")
    shares = _shares(wanted)
    _check_once(list(shares))
    # A file:// address is read where it lies.
    builds = {name: open_build(files.local_path(name) or name) for name in shares}
    _check_alike(list(builds.values()))
    _check_known(list(builds.values()), [*(datasets or ()), *(weights or ())])
    found: list[Source] = []
    for directory, (share, inner) in shares.items():
        build = builds[directory]
        _check_known([build], list(inner or ()))
        given = _weights(build, datasets, weights if weights is not None else inner)
        entries = {name: build.of(name, split) for name in given}
        total = sum(weight for name, weight in given.items() if entries[name])
        if share is not None and not total:
            raise UsageError(f"{directory}: nothing of it is in the split '{split}'.")
        found += [
            Source(build, name, weight if share is None else share * weight / total, entries[name])
            for name, weight in given.items()
            if entries[name]
        ]
    if not math.isfinite(sum(source.weight for source in found)):
        raise UsageError("The weights add up to more than a number holds: make them smaller.")
    found = [source for source in found if source.sequences]
    if not found:
        raise UsageError(_nothing_there(list(builds.values()), split, datasets))
    return tuple(found)


def _check_once(directories: Sequence[str]) -> None:
    """Refuses a directory that is given in two spellings: its sequences would come twice."""
    known: dict[str, str] = {}
    for directory in directories:
        local = files.local_path(directory)
        place = directory.rstrip("/") if local is None else os.path.realpath(local)
        if place in known:
            raise UsageError(
                f"{known[place]} and {directory} are one directory: give each of them once."
            )
        known[place] = directory


def _weights(
    build: Build, datasets: Sequence[str] | None, given: Mapping[str, Any] | None
) -> dict[str, float]:
    """The weights of the data sets of a build that are asked for."""
    described = build.manifest["datasets"]
    return {
        name: _positive(
            described[name]["weight"] if given is None else given[name],
            f"{build.directory}: data set '{name}'",
        )
        for name in described
        if (datasets is None or name in datasets) and (given is None or name in given)
    }


def _nothing_there(builds: Sequence[Build], split: str, datasets: Sequence[str] | None) -> str:
    splits = sorted(
        {x.split for build in builds for x in build.shards if not datasets or x.dataset in datasets}
    )
    return (
        f"{', '.join(build.directory for build in builds)}: {', '.join(datasets or ['it'])} has no "
        f"split '{split}'. There is {', '.join(splits) or 'none'}."
    )


_Share = tuple[float | None, Mapping[str, Any] | None]


def _shares(wanted: Wanted) -> dict[str, _Share]:
    """By directory its weight, or None where only those of its data sets count, and theirs."""
    if isinstance(wanted, Mapping):
        return _mapped(wanted, "the mixture")
    if not isinstance(wanted, str | os.PathLike):
        directories = [os.fspath(one).rstrip("/") or "/" for one in wanted]
        if len(set(directories)) < len(directories) or not directories:
            raise UsageError("Give one directory or more, each of them once.")
        return dict.fromkeys(directories, (None, None))
    path = os.fspath(wanted)
    if not path.endswith((".yaml", ".yml", ".json")):
        return {path: (None, None)}
    try:
        document = read_document(files.read_bytes(path))
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file. To load it, {_EXAMPLE}.") from None
    except DocumentError as error:
        raise UsageError(f"{path}, line {error.line}: {error}. It can {_EXAMPLE}.") from None
    for problem in document.problems:
        where = ": ".join([path, *(".".join(map(str, x)) for x in (problem.key,) if x)])
        raise UsageError(f"{where}: {problem.text}")
    shares = _mapped(document.value, path)
    folder = files.parent_of(path)
    return {
        directory if _is_absolute(directory) else files.join(folder, directory): share
        for directory, share in shares.items()
    }


def _is_absolute(directory: str) -> bool:
    return os.path.isabs(directory) or files.is_remote(directory)


def _mapped(given: Any, where: str) -> dict[str, _Share]:
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"{where}: {_EXAMPLE}.")
    found: dict[str, _Share] = {}
    for directory, value in given.items():
        if not isinstance(directory, str | os.PathLike):
            raise UsageError(f"{where}: {directory!r} names no directory; {_EXAMPLE}.")
        name, inner = os.fspath(directory), None
        if isinstance(value, Mapping):
            unknown = set(value) - {"weight", "datasets"}
            inner = value.get("datasets")
            if unknown or "weight" not in value or not isinstance(inner, Mapping | None):
                raise UsageError(f"{where}: {name}: {_EXAMPLE}.")
            value = value["weight"]
        found[name] = _positive(value, f"{where}: {name}"), inner
    return found


def _positive(value: Any, where: str) -> float:
    is_number = isinstance(value, Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value <= 0:
        raise UsageError(
            f"{where}: the weight is {value!r}, but must be a positive number. To leave a data set "
            "out, name the others in `datasets`."
        )
    return float(value)


def _check_known(builds: Sequence[Build], names: Sequence[str]) -> None:
    known = [name for build in builds for name in build.manifest["datasets"]]
    for name in names:
        if name not in known:
            raise UsageError(
                f"{', '.join(build.directory for build in builds)}: there is no data set '{name}'. "
                f"There is {', '.join(known)}."
            )


# What must be the same for sequences to share a batch.
_SHARED = {
    "sequence_length": "sequence length",
    "vocabulary": "vocabulary (id map and text model)",
}


def _check_alike(builds: Sequence[Build]) -> None:
    # Every two of them: a build without text goes with builds that do not go together.
    for first, build in combinations(builds, 2):
        for key, name in _SHARED.items():
            if not _agree(first.manifest[key], build.manifest[key]):
                raise UsageError(
                    f"{first.directory} and {build.directory} have not the same {name}, so their "
                    f"sequences cannot share a batch ({MANIFEST}, `{key}`). Build both with one "
                    "config."
                )


def _agree(one: Any, other: Any) -> bool:
    """Whether two values are the same; a build without text goes with any text model."""
    if isinstance(one, Mapping):
        return all(
            one[key] == other.get(key) or (key == "text_model" and None in (one[key], other[key]))
            for key in one
        )
    return bool(one == other)
