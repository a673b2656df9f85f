"""What is wrong with a config, as plain values: its JSON Schema, then the rules across keys."""

import difflib
import itertools
import json
import re
from collections.abc import Iterator
from typing import Any

import jsonschema

from gato_data import vocabulary
from gato_data.config_action_range import action_range_problems
from gato_data.config_reading import KeyPath, Problem
from gato_data.config_task_values import TASK_VALUES, rules_of
from gato_data.config_types import CORPUS_KINDS
from gato_data.schema_files import read_schema
from gato_data.vocabulary import PATCH_SIDE

# Nobody reads more; a file that is no config at all may have one in every line.
_ENOUGH = 100
_THRESHOLD_KEYS = ("expert_return_share", "estimator", "relative_to_random", "expert_returns")
_DEFAULT_OBSERVATION = ["steps/observation"]
_DEFAULT_ACTION = ["steps/action"]


def find_problems(value: Any, known: tuple[Problem, ...] = ()) -> list[Problem]:
    """Everything that is wrong with a config.

    Args:
      value: the config as plain values, None where `known` refuses one.
      known: problems found before; they come first in the result, and nothing more is said about
        their keys.
    """
    refused = {problem.key for problem in known}
    found = list(itertools.islice(_schema_problems(value), _ENOUGH))
    problems = [*known, *(problem for problem in found if problem.key not in refused)]
    if len(found) < _ENOUGH:
        problems += _rule_problems(value, {problem.key for problem in problems})
    return list(dict.fromkeys(problems))


def text_of_key(key: KeyPath) -> str:
    """A key as people write it: datasets[0].image_size[1]."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def _schema_problems(value: Any) -> Iterator[Problem]:
    schema = read_schema("config.schema.json")
    base = jsonschema.Draft202012Validator
    # JSON Schema takes 1024.0 for an integer; here it is most likely a mistake.
    types = base.TYPE_CHECKER.redefine("integer", lambda _, item: type(item) is int)
    validator = jsonschema.validators.extend(base, type_checker=types)(schema)
    for error in validator.iter_errors(value):
        yield from _describe(error)


def _describe(error: jsonschema.ValidationError) -> Iterator[Problem]:
    """One error of the schema in words that say what would be right."""
    key: KeyPath = tuple(error.absolute_path)
    # Any: what they are depends on the schema's keyword, which no type can say.
    found: Any = error.instance
    schema: Any = error.schema
    required: Any = error.validator_value
    expected = schema["description"] if isinstance(schema, dict) else ""
    if error.validator == "additionalProperties":
        names, patterns = list(schema["properties"]), schema.get("patternProperties", {})
        for name in found:
            if name not in names and not any(re.search(pattern, name) for pattern in patterns):
                yield Problem((*key, name), _unknown(name, [*names, *_kinds_of_key(patterns)]))
    elif error.validator == "required":
        for name in required:
            if name not in found:
                yield Problem(key, f"the key {name} is missing. Expected {expected}.")
    else:
        yield Problem(key, f"found {_shown(found)}. Expected {expected}.")


def _kinds_of_key(patterns: dict[str, Any]) -> list[str]:
    return [inner["title"] for inner in patterns.values()]


def _unknown(name: str, names: list[str]) -> str:
    closest = difflib.get_close_matches(name, names, n=1)
    hint = f" Did you mean {closest[0]}?" if closest else ""
    return f"this key is unknown.{hint} Known here: {', '.join(names)}."


def _shown(value: Any) -> str:
    """A value and its type, so that "10" and 10 look different."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f"the text {_shortened(json.dumps(value, ensure_ascii=False))}"
    kind = "mapping" if isinstance(value, dict) else "list" if isinstance(value, list) else "number"
    return f"the {kind} {_shortened(json.dumps(value, ensure_ascii=False))}"


def _shortened(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _rule_problems(value: Any, refused: set[KeyPath]) -> Iterator[Problem]:
    """Applies the rules across keys to those parts that the schema finds right."""

    def is_right(*parts: KeyPath) -> bool:
        return not any(key[: len(part)] == part for key in refused for part in parts)

    if not isinstance(value, dict) or () in refused:
        return
    if is_right(("sequence",)):
        yield from _window_problems(value.get("sequence", {}))
    if is_right(("output",)):
        yield from _output_problems(value.get("output", {}))
    if is_right(("sequence",), ("prompt",)) and not _has_corpora_only(value.get("datasets")):
        yield from _prompt_problems(value.get("sequence", {}), value.get("prompt", {}))
    datasets = value.get("datasets")
    if not isinstance(datasets, list):
        return
    yield from _name_problems(datasets)
    for index, dataset in enumerate(datasets):
        if is_right(("datasets", index)):
            problems = list(_dataset_problems(dataset))
            if is_right(("sequence",)):
                problems += _sequence_problems(dataset, value.get("sequence", {}))
            for problem in problems:
                yield Problem(("datasets", index, *problem.key), problem.text)


def _has_corpora_only(datasets: Any) -> bool:
    """Whether no data set has prompts."""
    found = datasets if isinstance(datasets, list) else []
    kinds = [x.get("kind") for x in found if isinstance(x, dict)]
    return bool(kinds) and all(kind in CORPUS_KINDS for kind in kinds)


def _output_problems(output: dict[str, Any]) -> Iterator[Problem]:
    if output.get("format") == "tfrecord" and output.get("compression", "none") != "none":
        yield Problem(
            ("output", "compression"),
            "only Arrow files are compressed, as TFRecords must be found at their offsets: remove "
            "it, or set `format: arrow`",
        )


def _window_problems(sequence: dict[str, Any]) -> Iterator[Problem]:
    if "windows_per_episode" in sequence and sequence.get("windows", "cover") == "cover":
        yield Problem(
            ("sequence", "windows_per_episode"),
            "it has no meaning with `windows: cover`, which takes as many windows as an episode "
            "needs. Remove it, or set `windows: random`.",
        )


def _prompt_problems(sequence: dict[str, Any], prompt: dict[str, Any]) -> Iterator[Problem]:
    whole, part = sequence.get("length", 1024), prompt.get("length", 512)
    if part >= whole and prompt.get("probability", 0.25) > 0:
        origin = "" if "length" in prompt else ", its default,"
        yield Problem(
            ("prompt", "length") if "length" in prompt else ("sequence", "length"),
            f"prompt.length {part}{origin} leaves no room in sequence.length {whole}. Set "
            f"prompt.length to {whole - 1} or less, such as {max(1, whole // 2)}.",
        )


def _name_problems(datasets: list[Any]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, dataset in enumerate(datasets):
        name = dataset.get("name") if isinstance(dataset, dict) else None
        if not isinstance(name, str):
            continue
        if name in seen:
            yield Problem(
                ("datasets", index, "name"),
                f"datasets[{seen[name]}] has the name {name} already. Give each its own.",
            )
        seen.setdefault(name, index)


def _dataset_problems(dataset: dict[str, Any]) -> Iterator[Problem]:
    path, tfds = dataset.get("path"), dataset.get("tfds")
    if path is None and tfds is None:
        yield Problem((), "neither path nor tfds is given. Say where the data set lies by one.")
    if path is not None and tfds is not None:
        yield Problem(("tfds",), "path and tfds are both given. Remove one of the two.")
    yield from _duplicate_problems(dataset)
    if dataset["kind"] in CORPUS_KINDS:
        yield from _corpus_problems(dataset)
        return
    if dataset["kind"] == "minari":
        yield from _minari_problems(dataset)
    yield from _role_problems(dataset)
    yield from _image_problems(dataset.get("image_size"))
    for problem in action_range_problems(dataset.get("action_range")):
        yield Problem(("action_range", *problem.key), problem.text)
    for key, rule, task in rules_of(dataset):
        for problem in _filter_problems(rule, task):
            yield Problem((*key, *problem.key), problem.text)


def _duplicate_problems(dataset: dict[str, Any]) -> Iterator[Problem]:
    if dataset.get("duplicates") != "keep_first":
        return
    is_corpus = dataset["kind"] in CORPUS_KINDS
    named = dataset.get("fields", {}).get("id") if is_corpus else dataset.get("episode_id")
    if named is None:
        key = "fields: {id: …}" if is_corpus else "episode_id"
        yield Problem(
            ("duplicates",),
            f"without `{key}`, ids are file names and record numbers, of which none stands twice. "
            f"Remove it, or name the field of the id by `{key}`.",
        )


def _minari_problems(dataset: dict[str, Any]) -> Iterator[Problem]:
    """What only TFDS directories have. Defaults pass: a manifest writes them out."""
    meaningless = {
        "tfds": (None, "it names a TFDS data set. Give the folder of the Minari one as `path`."),
        "split": (
            "train",
            "Minari data sets have no splits. Remove it; `validation` holds episodes out.",
        ),
        "last_step": (
            "drop",
            "Minari stores no action for the last observation, so it is always dropped. Remove it.",
        ),
    }
    for key, (default, text) in meaningless.items():
        if dataset.get(key, default) != default:
            yield Problem((key,), text)


def _corpus_problems(dataset: dict[str, Any]) -> Iterator[Problem]:
    """What has no meaning beside another key. Defaults pass: a manifest writes them out."""
    if dataset.get("tfds") is not None and dataset.get("format") not in (None, "tfds"):
        yield Problem(
            ("format",), "`tfds` names a TFDS data set, which has no other format. Remove it."
        )
    found = "tfds" if dataset.get("tfds") is not None else dataset.get("format")
    if dataset.get("documents", "file") == "line" and found not in (None, "text"):
        yield Problem(
            ("documents",),
            f"only plain text has documents by line; each record of {found} is one document. "
            "Remove it.",
        )
    if dataset["kind"] == "text" and (dataset.get("assumed") or {}).get("image_share"):
        yield Problem(("assumed", "image_share"), "the kind text has no images. Remove it.")


def _sequence_problems(dataset: dict[str, Any], sequence: dict[str, Any]) -> Iterator[Problem]:
    """What does not fit how sequences are cut."""
    length = sequence.get("length", 1024)
    if dataset["kind"] in CORPUS_KINDS and dataset["kind"] != "text":
        size = dataset.get("image_size", [224, 224])
        tokens = 0 if size is None else (size[0] // PATCH_SIDE) * (size[1] // PATCH_SIDE)
        if tokens > length:
            is_written = "image_size" in dataset
            origin = "" if is_written else ", the default of image_size,"
            yield Problem(
                ("image_size",) if is_written else (),
                f"an image of {size[0]} x {size[1]}{origin} has {tokens} tokens, more than "
                f"sequence.length {length}. Choose a smaller size, or a larger length.",
            )
    aligned = sequence.get("align", "token") == "timestep"
    if dataset.get("text") == "first_of_window" and not aligned:
        yield Problem(
            ("text",),
            "first_of_window needs windows that begin with a whole timestep. Set "
            "`sequence.align: timestep`, or text to every_step.",
        )


def _role_problems(dataset: dict[str, Any]) -> Iterator[Problem]:
    """A path selects all that lies under it, and everything may be selected only once."""
    selected: list[tuple[KeyPath, str]] = []
    for role, default in (("observation", _DEFAULT_OBSERVATION), ("action", _DEFAULT_ACTION)):
        paths = dataset.get(role)
        if paths is None:
            selected += [((role,), path) for path in default]
        elif isinstance(paths, str):
            selected.append(((role,), paths))
        else:
            selected += [((role, index), path) for index, path in enumerate(paths)]
    for (first_key, first), (key, second) in itertools.combinations(selected, 2):
        inner, outer = sorted((first, second), key=len, reverse=True)
        if not f"{inner}/".startswith(f"{outer}/"):
            continue
        how = "" if inner == outer else f" as part of {outer}"
        place = key if key[0] in dataset else first_key
        if first_key[0] == key[0]:
            yield Problem(place, f"{inner} is selected twice{how}. Remove one of the two.")
        else:
            origin = " (by default)" if dataset.get("observation") is None else ""
            yield Problem(
                place,
                f"two roles for one key: {inner} is selected as observation{origin} and as "
                f"action{how}. List under `observation` only what is no action.",
            )


def _image_problems(image_size: list[int] | None) -> Iterator[Problem]:
    if image_size is None:
        return
    rows, columns = (side // PATCH_SIDE for side in image_size)
    if rows * columns > vocabulary.LOCAL_POSITIONS:
        yield Problem(
            ("image_size",),
            f"one such image has {rows} x {columns} = {rows * columns} tokens, and a step holds "
            f"{vocabulary.LOCAL_POSITIONS} observation tokens at most. Choose a smaller size.",
        )


def _filter_problems(rule: dict[str, Any], task: str | None) -> Iterator[Problem]:
    """One rule decides: what it leaves no room for, and what it lacks.

    Args:
      rule: of a data set, or of one of its tasks.
      task: the only one that it speaks of, or None.
    """
    # null and false say that a key is not used.
    used = [key for key, value in rule.items() if value is not None and value is not False]
    decisive = [key for key in ("successes_only", "top_k") if key in used]
    if decisive:
        for key in [*decisive[1:], *(key for key in _THRESHOLD_KEYS if key in used)]:
            yield Problem(
                (key,),
                f"it has no meaning with {decisive[0]}, which decides alone what is kept. Remove "
                "one of the two.",
            )
    elif "expert_returns" in used and "estimator" in used:
        yield Problem(
            ("estimator",),
            "it has no meaning with expert_returns, which give what it would estimate. Remove it, "
            "or estimate under filter.tasks where no value is known.",
        )
    for key in TASK_VALUES:
        if task is not None and isinstance(rule.get(key), dict) and task not in rule[key]:
            yield Problem((key,), f"it has no value for the task '{task}', the only one here.")
