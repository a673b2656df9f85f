"""Reads a config: what the user asked for, checked and complete.

`load_config` reads YAML, refuses everything that cannot work in one `UsageError` that names file,
line and key, and returns frozen dataclasses in which every default is filled in. Keys, types and
ranges stand in `schemas/config.schema.json`, rules across keys in `gato_data.config_checks`.
Paths stay as written, so that a config means the same wherever its folder lies.
"""

import dataclasses
import os
import posixpath
import re
from collections.abc import Mapping
from typing import Any, Literal

from gato_data.config_action_range import RANGE_KEYS
from gato_data.config_checks import find_problems, text_of_key
from gato_data.config_reading import MAX_BYTES, DocumentError, KeyPath, Problem, read_document
from gato_data.config_task_values import fill_in, named_files
from gato_data.config_types import (
    TEMPLATES,
    ActionRange,
    AnyDataset,
    AssumedSize,
    Config,
    CorpusConfig,
    DatasetConfig,
    FieldReference,
    FilterConfig,
    FilterRule,
    InterleavedConfig,
    LimitsConfig,
    MixtureConfig,
    OutputConfig,
    PairsConfig,
    PictureConfig,
    PromptConfig,
    SequenceConfig,
    TaskValues,
    TextConfig,
    VocabularyConfig,
)
from gato_data.errors import UsageError
from gato_data.storage import files

__all__ = [
    "ActionRange",
    "AnyDataset",
    "AssumedSize",
    "Config",
    "CorpusConfig",
    "DatasetConfig",
    "FieldReference",
    "FilterConfig",
    "FilterRule",
    "InterleavedConfig",
    "LimitsConfig",
    "MixtureConfig",
    "OutputConfig",
    "PairsConfig",
    "PictureConfig",
    "PromptConfig",
    "SequenceConfig",
    "TextConfig",
    "VocabularyConfig",
    "config_from_json",
    "dataset_directory",
    "load_config",
    "parse_size",
    "resolve",
]

# One message shows so many problems; who mends ten things runs the command again anyway.
_PROBLEMS_SHOWN = 10
_UNITS = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate("kMGT", 1)},
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate("KMGT", 1)},
}
_VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")


def load_config(path: str) -> Config:
    """Reads and checks a config.

    Args:
      path: a YAML file, local or an fsspec URL.

    Raises:
      UsageError: the file, or one of numbers that it names, cannot be read or is wrong; one line
        for each problem (the first ten), with file, line, key, what is wrong and what would be
        right.
    """
    try:
        document = read_document(_read(path))
    except DocumentError as error:
        raise UsageError(f"{path}:{error.line}: {error.text}") from None
    problems = find_problems(document.value, document.problems)
    value = document.value
    if not problems:
        folder = files.parent_of(path)
        value, problems = fill_in(value, lambda name: resolve(folder, name))
    if problems:
        raise UsageError(_message(path, problems, document.lines))
    return _build(value)


def config_from_json(value: dict[str, Any], source: str = "config") -> Config:
    """The config of which `value` is the `to_json`, as a manifest holds it.

    Raises:
      UsageError: `value` is no config of this version; `source` names the file in the message.
    """
    problems = find_problems(value) or [
        Problem((*key, name), "a file is named here, where its numbers should stand.")
        for key, _, _, name in named_files(value)
    ]
    if problems:
        raise UsageError(_message(source, problems, {}))
    return _build(value)


def resolve(folder: str, path: str) -> str:
    """`path` as seen from `folder`, the config's: URLs and absolute paths stay as they are.

    `folder` may be a URL too; object stores know no `..`, so it is resolved there.
    """
    path = os.path.expanduser(path)
    if files.is_remote(path) or os.path.isabs(path):
        return path
    if not files.is_remote(folder):
        return os.path.join(folder, path)
    scheme, _, inner = folder.partition("://")
    return f"{scheme}://{posixpath.normpath(posixpath.join(inner, path))}"


def dataset_directory(dataset: AnyDataset, config_folder: str) -> str:
    """The directory of a data set, local or a URL.

    `tfds` names are looked up where TFDS prepares data: in $TFDS_DATA_DIR or
    ~/tensorflow_datasets; without a version, the highest one there.

    Raises:
      UsageError: there is no version of what `tfds` names.
    """
    if dataset.path is not None:
        return resolve(config_folder, dataset.path)
    assert dataset.tfds is not None, "load_config requires path or tfds"
    name, _, version = dataset.tfds.partition(":")
    root = os.environ.get("TFDS_DATA_DIR") or os.path.join("~", "tensorflow_datasets")
    folder = files.join(os.path.expanduser(root), *name.split("/"))
    if version:
        return files.join(folder, version)
    present = files.list_names(folder)
    versions = [name for name in present if _VERSION.fullmatch(name)]
    if not versions:
        holds = f"It holds {', '.join(present[:9])}." if present else "There is no such folder."
        raise UsageError(
            f"Data set {dataset.name}: no version of `tfds: {dataset.tfds}` is in {folder}. "
            f"{holds} Prepare the data set with TFDS, add its config to the name (name/config), or "
            "set TFDS_DATA_DIR to the folder that has it."
        )
    return files.join(folder, max(versions, key=lambda text: [*map(int, text.split("."))]))


def parse_size(size: int | str) -> int:
    """Bytes of a size such as 1048576, `64MB` (powers of 1000) or `256MiB` (powers of 1024).

    Raises:
      ValueError: another form.
    """
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"([0-9]+) ?([A-Za-z]+)", size)
    if match is None or match[2] not in _UNITS:
        raise ValueError(f"{size!r} is no size such as 256MiB.")
    return int(match[1]) * _UNITS[match[2]]


def _read(path: str) -> bytes:
    try:
        with files.open_read(path) as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(
            f"{path}: there is no such file. Name the YAML file of a config."
        ) from None
    # ValueError and ImportError: fsspec does not know the scheme, or lacks the package for it.
    except (OSError, ValueError, ImportError) as error:
        raise UsageError(f"{path}: the config cannot be read: {error}.") from error


def _message(source: str, problems: list[Problem], lines: Mapping[KeyPath, int]) -> str:
    """One line for each problem, in the order of the file; no line numbers where none are known."""

    def line_of(problem: Problem) -> int:
        return problem.line or lines.get(problem.key) or 0

    def words(problem: Problem) -> str:
        place = f"{source}:{line_of(problem)}" if line_of(problem) else source
        key = f" {text_of_key(problem.key)}:" if problem.key else ""
        return f"{place}:{key} {problem.text}"

    ordered = sorted(problems, key=line_of)
    rest = len(ordered) - _PROBLEMS_SHOWN
    more = [f"{source}: and {rest} more."] if rest > 0 else []
    return "\n".join([*map(words, ordered[:_PROBLEMS_SHOWN]), *more])


def _build(value: dict[str, Any]) -> Config:
    """Dataclasses from plain values that the checks have passed."""
    return Config(
        datasets=tuple(map(_dataset, value["datasets"])),
        seed=value.get("seed", 0),
        vocabulary=_section(VocabularyConfig, value.get("vocabulary", {})),
        sequence=_section(SequenceConfig, value.get("sequence", {})),
        prompt=_section(PromptConfig, value.get("prompt", {})),
        output=_section(OutputConfig, value.get("output", {}), shard_size=parse_size),
        limits=_section(LimitsConfig, value.get("limits", {}), record_bytes=parse_size),
        mixture=_section(MixtureConfig, value.get("mixture", {})),
    )


def _section(kind: Any, value: dict[str, Any], **convert: Any) -> Any:
    """A dataclass of type `kind`; YAML's `1` becomes 1.0 where it holds a float."""
    floats = {item.name: float for item in dataclasses.fields(kind) if item.type is float}
    convert = {**floats, **convert}
    return kind(**{key: convert.get(key, _same)(item) for key, item in value.items()})


# The class of each kind of corpus.
_CORPORA: Mapping[str, type[CorpusConfig]] = {
    "text": TextConfig,
    "interleaved": InterleavedConfig,
    "image_text": PairsConfig,
    "question_answer": PairsConfig,
}


def _dataset(value: dict[str, Any]) -> AnyDataset:
    kind = value["kind"]
    if kind in _CORPORA:
        template = {"template": TEMPLATES[kind]} if kind in TEMPLATES else {}
        return _section(_CORPORA[kind], template | value, image_size=_size, assumed=_assumed)
    return _section(
        DatasetConfig,
        value,
        validation=lambda item: tuple(item) if isinstance(item, list) else float(item),
        task=_field_reference,
        agent=_field_reference,
        observation=_paths,
        action=_paths,
        action_range=_action_range,
        image_size=_size,
        filter=_filter,
        assumed=_assumed,
    )


def _size(value: list[int] | None) -> tuple[int, ...] | None:
    return None if value is None else tuple(value)


def _assumed(value: dict[str, Any] | None) -> AssumedSize | None:
    if value is None:
        return None
    tokens, image_share = (
        None if value.get(key) is None else float(value[key]) for key in ("tokens", "image_share")
    )
    return AssumedSize(value["records"], tokens, image_share)


def _filter(value: dict[str, Any] | Literal["off"] | bool) -> FilterConfig | None:
    if not isinstance(value, dict):
        return None
    tasks = {task: _rule(FilterRule, rule) for task, rule in value.get("tasks", {}).items()}
    return _rule(FilterConfig, value | {"tasks": tasks})


def _rule(kind: Any, value: dict[str, Any] | Literal["off"] | bool) -> Any:
    if not isinstance(value, dict):
        return None
    return _section(kind, value, relative_to_random=_task_values, expert_returns=_task_values)


def _task_values(value: float | dict[str, float] | None) -> TaskValues | None:
    if isinstance(value, dict):
        return {task: float(number) for task, number in value.items()}
    return None if value is None else float(value)


def _action_range(value: dict[str, Any] | None) -> ActionRange | dict[str, ActionRange] | None:
    if value is None:
        return None
    if set(value) <= set(RANGE_KEYS):
        return _one_range(value)
    return {path: _one_range(found) for path, found in value.items()}


def _one_range(value: dict[str, Any]) -> ActionRange:
    def bound(item: Any) -> float | tuple[float, ...]:
        return tuple(map(float, item)) if isinstance(item, list) else float(item)

    return ActionRange(
        low=bound(value["low"]) if "low" in value else None,
        high=bound(value["high"]) if "high" in value else None,
        quantiles=tuple(map(float, value["quantiles"])) if "quantiles" in value else None,  # type: ignore[arg-type]
        leave=tuple(value.get("leave", ())),
    )


def _field_reference(value: str | dict[str, str] | None) -> FieldReference | None:
    if value is None:
        return None
    return FieldReference(path=value) if isinstance(value, str) else FieldReference(**value)


def _paths(value: str | list[str] | None) -> tuple[str, ...] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def _same(value: Any) -> Any:
    return value
