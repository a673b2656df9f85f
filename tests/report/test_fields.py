"""Tokens find their keys again, wherever a window begins and ends."""

from typing import Any

import numpy as np
import pytest

from gato_data.report.fields import keys_of, timesteps
from gato_data.vocabulary import Modality

NAMES = {name: number for number, name in enumerate(Modality.NAMES)}


def entry(key: str, modality: str, tokens: int | None, role: str = "observation") -> dict[str, Any]:
    shape = [2, None, None, 3] if modality == "image" else []
    return {
        "key": f"steps/{key}",
        "modality": modality,
        "tokens": tokens,
        "role": role,
        "shape": shape,
    }


# Two images of undeclared size, a text in the middle, and neighbours of one modality.
LAYOUT = [
    entry("a", "continuous", 3),
    entry("b", "image", None),
    entry("c", "text", None),
    entry("d", "discrete", 1),
    entry("e", "discrete", 2),
    entry("z", "continuous", 2, "action"),
    entry("zz", "discrete", 1, "action"),
]
# Tokens of each key in three timesteps; the texts are of different lengths, one of none.
SIZES = {"a": 3, "b": 8, "d": 1, "e": 2, "z": 2, "zz": 1}
TEXTS = (4, 0, 2)


def episode(texts: tuple[int, ...] = TEXTS) -> tuple[dict[str, Any], list[str]]:
    """The record fields of a whole episode, and the key of each token."""
    keys: list[str] = []
    fields: dict[str, list[Any]] = {"modality": [], "local_position": [], "timestep": []}
    intervals: list[tuple[int, int]] = []
    for step, text in enumerate(texts):
        place = 0
        for each in [*LAYOUT[:5], None, *LAYOUT[5:]]:
            name = each["key"].removeprefix("steps/") if each else "separator"
            count = SIZES.get(name, text if name == "c" else 1)
            for number in range(count):
                keys.append(name)
                fields["modality"].append(NAMES[each["modality"] if each else "separator"])
                is_action = each is not None and each["role"] == "action"
                fields["local_position"].append(512 if is_action else place if each else -1)
                fields["timestep"].append(step)
                place += each is not None
                if name == "b":  # images of 2 x 2 patches
                    intervals.append((64 * (number % 4 // 2), 64 * (number % 2)))
    record: dict[str, Any] = {name: np.array(values) for name, values in fields.items()}
    rows, columns = np.array(intervals).T
    record["patch_rows"] = np.stack([rows, rows + 64], axis=1)
    record["patch_columns"] = np.stack([columns, columns + 64], axis=1)
    return record, keys


def part(record: dict[str, Any], start: int, stop: int) -> dict[str, Any]:
    """The window [start, stop) as a record of its own."""
    image = record["modality"] == NAMES["image"]
    patches = slice(int(image[:start].sum()), int(image[:stop].sum()))
    return {name: values[start:stop] for name, values in record.items() if "patch" not in name} | {
        name: record[name][patches] for name in ("patch_rows", "patch_columns")
    }


def test_every_window_of_an_episode() -> None:
    record, truth = episode()
    keys = keys_of(LAYOUT)
    unknown = 0
    for start in range(len(truth)):
        for stop in range(start + 1, len(truth) + 1):
            steps = timesteps(part(record, start, stop), 0, stop - start, keys)
            covered: list[int] = []
            for step in steps:
                for span in step.spans:
                    covered += range(span.start, span.stop)
                    names = set(truth[start + span.start : start + span.stop])
                    if span.key:
                        assert names <= {span.key.name}, (start, stop, span)
                        whole = truth.count(span.key.name) // len(TEXTS)
                        is_cut = span.stop - span.start < whole
                        if span.key.tokens:
                            assert span.is_cut == is_cut
                        elif span.key.name == "b":  # of an undeclared size: better warn too often
                            assert span.is_cut or not is_cut
                    elif span.modality != NAMES["separator"]:
                        unknown += span.stop - span.start
            assert covered == list(range(stop - start))
            # With its separator, the keys of a timestep's observation can always be told.
            for step in steps:
                kinds = {span.modality for span in step.spans}
                if NAMES["separator"] in kinds:
                    assert all(span.key for span in step.spans if span.modality != 5)
    assert 0 < unknown < 2000


def test_texts_of_the_first_timestep_only() -> None:
    """Later timesteps have no such key, so that none of theirs seems to be empty or cut off."""
    record, truth = episode((4, 0, 0))
    keys = keys_of(LAYOUT)
    for stop in range(1, len(truth) + 1):
        first, *later = timesteps(part(record, 0, stop), 0, stop, keys, text_once=True)
        for step in later:
            assert [(x.key.name if x.key else "separator") for x in step.spans] == list(
                dict.fromkeys(truth[step.start : step.stop])
            )
        if first.stop > 11:
            assert [x.stop - x.start for x in first.spans if x.key and x.key.name == "c"] == [
                min(first.stop, 15) - 11
            ]
    without = timesteps(record, 0, len(truth), keys)
    assert "c" in {span.key.name for span in without[1].spans if span.key}


@pytest.mark.parametrize(
    ("start", "stop", "cut"),
    [
        (0, 22, ""),
        (0, 44, ""),
        (2, 22, "begins at its token 2"),
        (18, 22, "begins at its separator"),
        (20, 30, "begins within its action"),
        (0, 7, "ends within its observation"),
        (0, 19, "ends at its separator"),
        (0, 20, "ends within its action"),
        (3, 20, "begins at its token 3 and ends within its action"),
        (3, 9, "begins at its token 3 and ends within its observation"),
    ],
)
def test_what_is_cut_is_said(start: int, stop: int, cut: str) -> None:
    record, truth = episode()
    assert truth[18] == "separator"
    first = timesteps(part(record, start, stop), 0, stop - start, keys_of(LAYOUT))[0]
    assert first.cut == cut


def names(*layout: dict[str, Any]) -> list[str]:
    return [key.name for key in keys_of(layout)]


def test_neighbours_of_one_modality_without_borders_are_one_key() -> None:
    texts = [entry("a", "text", None), entry("b", "text", None)]
    assert names(*texts, entry("c", "discrete", 1)) == ["a + b", "c"]
    assert names(texts[0], entry("b", "text", None, "action")) == ["a", "b"]
    sized, ragged = entry("s", "discrete", 3), entry("r", "discrete", None)
    assert names(sized, sized, entry("c", "continuous", None)) == ["s", "s", "c"]
    # One of unknown size is enough, wherever it stands.
    assert names(sized, ragged, entry("c", "text", None)) == ["s + r", "c"]
    assert names(ragged, sized) == ["r + s"]
    assert names(sized, ragged, sized, texts[0], ragged) == ["s + r + s", "a", "r"]


def test_images_have_borders_where_their_number_is_known() -> None:
    pair, one = entry("p", "image", None), entry("o", "image", 4) | {"shape": [32, 32, 3]}
    assert names(pair, one, pair) == ["p", "o", "p"]
    film = entry("f", "image", None) | {"shape": [None, 16, 16, 3]}
    assert names(one, film) == ["o + f"]
    (key,) = keys_of([film])
    assert key.images is None


def test_tokens_that_are_not_of_the_layout_are_shown_all_the_same() -> None:
    record, truth = episode()
    (step, *_) = timesteps(record, 0, len(truth), keys_of(LAYOUT[:1] + LAYOUT[5:]))
    assert [(span.key, Modality.NAMES[span.modality]) for span in step.spans[:4]] == [
        (None, "continuous"),
        (None, "image"),
        (None, "text"),
        (None, "discrete"),
    ]


RAGGED = [
    entry("a", "discrete", None),
    entry("b", "text", None),
    entry("c", "discrete", 2),
    entry("d", "continuous", None),
    entry("z", "discrete", None, "action"),
]
# Tokens of each key in six timesteps; c has always two.
SIZES_OF_RAGGED = [
    {"a": 3, "b": 2, "d": 1, "z": 2},
    {"a": 0, "b": 0, "d": 0, "z": 0},
    {"a": 2, "b": 0, "d": 3, "z": 1},
    {"a": 0, "b": 1, "d": 0, "z": 3},
    {"a": 1, "b": 3, "d": 2, "z": 0},
    {"a": 2, "b": 2, "d": 2, "z": 1},
]


def ragged_episode() -> tuple[dict[str, Any], list[str]]:
    truth: list[str] = []
    fields: dict[str, list[int]] = {"modality": [], "local_position": [], "timestep": []}
    for step, sizes in enumerate(SIZES_OF_RAGGED):
        place = 0
        for each in [*RAGGED[:4], None, RAGGED[4]]:
            name = each["key"].removeprefix("steps/") if each else "separator"
            for _ in range(1 if each is None else sizes.get(name, 2)):
                truth.append(name)
                fields["modality"].append(NAMES[each["modality"] if each else "separator"])
                is_action = each is not None and each["role"] == "action"
                fields["local_position"].append(512 if is_action else place if each else -1)
                fields["timestep"].append(step)
                place += each is not None
    record: dict[str, Any] = {name: np.array(values) for name, values in fields.items()}
    nothing = np.empty((0, 2), np.uint8)
    return record | {"patch_rows": nothing, "patch_columns": nothing}, truth


def test_ragged_numbers_are_never_called_by_a_wrong_name() -> None:
    """The text between a and c may be empty: then a takes tokens of c, if nobody minds."""
    record, truth = ragged_episode()
    keys = keys_of(RAGGED)
    assert len(keys) == len(RAGGED)
    told = unknown = 0
    for start in range(len(truth)):
        for stop in range(start + 1, len(truth) + 1):
            covered: list[int] = []
            for step in timesteps(part(record, start, stop), 0, stop - start, keys):
                for span in step.spans:
                    covered += range(span.start, span.stop)
                    found = set(truth[start + span.start : start + span.stop])
                    if span.key:
                        assert found <= {span.key.name}, (start, stop, span)
                        told += len(found)
                    elif span.modality != NAMES["separator"]:
                        unknown += 1
            assert covered == list(range(stop - start))
    assert told > unknown > 0
