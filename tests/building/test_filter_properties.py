"""The filter against the oracle, and what its decisions do not depend on."""

import dataclasses
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.building.context import DatasetContext
from gato_data.building.index import index_file, read_index
from gato_data.building.selection import select
from gato_data.building.steps import open_datasets
from gato_data.config import FilterConfig, FilterRule
from tests.building.builds import job_of, write_config
from tests.building.filter_builds import (
    PUSH,
    RETURNS,
    learning_episodes,
    learning_features,
    plan_rule,
    planned_numbers,
    section_of,
    task_of,
    write_episodes,
)
from tests.oracle import Source, rlds_fixtures
from tests.oracle.expert_return import kept_episodes

Capture = pytest.CaptureFixture[str]
Indexed = tuple[DatasetContext, pa.Table]


@pytest.fixture(scope="module")
def learning(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_episodes(tmp_path_factory.mktemp("learning"), learning_episodes(RETURNS))


@pytest.mark.parametrize(
    ("order_by", "expected"), [("episode_metadata/index", [3, 7, 9]), (None, [0, 1, 7])]
)
def test_ties_of_top_k_do_not_depend_on_the_files(
    order_by: str | None, expected: list[int], tmp_path: Path
) -> None:
    """Equal returns: the order of collection decides, or the ids; never how the input is cut."""
    for name, shards, turn in (("a", 1, 1), ("b", 3, -1)):
        episodes = learning_episodes([1.0] * 20)
        for number, episode in enumerate(episodes):
            episode["steps"][0]["reward"] = 5.0 if number == 7 else 1.0
            # The order of collection is another than that of the ids.
            place = {3: 0, 9: 1}.get(number, 10 + number)
            episode["episode_metadata"] |= {"task": "lift", "index": place}
        episodes = [episodes[2], *episodes[:2], *episodes[3:]]
        path = rlds_fixtures.write_rlds(
            tmp_path / name / "1.0.0", learning_features(), episodes[::turn], shards
        )
        rule = {"top_k": 3} | ({"order_by": order_by} if order_by else {})
        plan_rule(tmp_path / name, Path(path), rule)
        assert planned_numbers(tmp_path / name / "out") == expected


def test_equal_places_in_the_order_do_not_depend_on_the_files(tmp_path: Path) -> None:
    """The ids decide: two neighbours with 10 make the window, in whatever order they are stored."""
    for name, shards, turn in (("a", 1, 1), ("b", 3, -1)):
        episodes = learning_episodes([0.0, 10.0, 10.0, 0.0] + [0.0] * 16)
        for number, episode in enumerate(episodes):
            episode["episode_metadata"] |= {"task": "lift", "index": number // 2}
        path = rlds_fixtures.write_rlds(
            tmp_path / name / "1.0.0", learning_features(), episodes[::turn], shards
        )
        found = plan_rule(tmp_path / name, Path(path), {"order_by": "episode_metadata/index"})
        assert task_of(found, "lift")["expert"] == 10.0


@pytest.mark.parametrize(
    ("own", "kept"),
    [
        ("off", 20),
        ({}, sum(value >= 12.4 for value in PUSH)),
        ({"expert_returns": 20}, 4),
        ({"successes_only": "steps/won"}, 4),
        ({"top_k": 1}, 1),
    ],
)
def test_a_tasks_own_rule_changes_nothing_of_the_others(
    own: Any, kept: int, tmp_path: Path, learning: Path
) -> None:
    usual = {"top_k": 4, "order_by": "episode_metadata/index"}
    before = plan_rule(tmp_path / "a", learning, usual)
    found = plan_rule(tmp_path / "b", learning, usual | {"tasks": {"push": own, "pusch": "off"}})
    assert task_of(found, "lift") == task_of(before, "lift")
    assert task_of(found, "push")["kept"] == kept
    assert [text for text in found.warnings if "'pusch', which no usable episode has" in text]


@pytest.fixture(scope="module", params=[None, {"literal": "all"}])
def source(request: pytest.FixtureRequest, learning: Path) -> Source:
    """The slow reading of the data, of two tasks or of one; who uses it sets the filter."""
    more = {"task": request.param} if request.param else {}
    return Source(str(learning), section_of(learning, "off", **more))


@pytest.mark.parametrize(
    "rule",
    [
        {"relative_to_random": -100},
        {"relative_to_random": -120.5, "order_by": "episode_metadata/index"},
        {"expert_returns": 16, "expert_return_share": 0.5},
        {"expert_returns": 10, "relative_to_random": -90},
        {"successes_only": True},
        {"successes_only": "steps/won"},
        {"successes_only": "episode_metadata/solved"},
        {"top_k": 7},
        {"top_k": 7, "order_by": "episode_metadata/index"},
        {
            "top_k": 2,
            "tasks": {"lift": "off", "push": {"estimator": "top_mean"}, "all": {"top_k": 9}},
        },
    ],
)
def test_against_the_oracle(
    rule: dict[str, Any], source: Source, tmp_path: Path, learning: Path
) -> None:
    source.config["filter"] = rule
    plan_rule(tmp_path, learning, rule, task=source.config["task"])
    expected = sorted(int(name[-3:]) for name in kept_episodes(source))
    assert 0 < len(expected) < 40
    assert planned_numbers(tmp_path / "out") == expected


@pytest.fixture(scope="module")
def indexed(learning: Path, tmp_path_factory: pytest.TempPathFactory) -> Indexed:
    """The open data set, and its index in which tests set returns and tasks."""
    folder = tmp_path_factory.mktemp("indexed")
    config = {"datasets": [section_of(learning, "off")]}
    context = open_datasets(job_of(write_config(folder, config), folder / "out"))["robot"]
    for name in context.source.files:
        index_file(context, name)
    return context, read_index(str(folder / "out"), "robot", list(context.source.files))


def _kept_of(indexed: Indexed, rule: FilterConfig, columns: dict[str, list[Any]]) -> set[str]:
    """Ids of the episodes that a rule keeps of an index with other columns."""
    context, index = indexed
    for name, values in columns.items():
        place = index.schema.get_field_index(name)
        index = index.set_column(place, name, pa.array(values, index.schema.field(place).type))
    dataset = dataclasses.replace(context.dataset, filter=rule)
    selection = select(dataclasses.replace(context, dataset=dataset), index)
    return {index["episode_id"][row].as_py() for row in selection.kept}


_RULES = st.one_of(
    st.builds(FilterRule, expert_return_share=st.sampled_from([0.0, 0.5, 1.0])),
    st.builds(FilterRule, relative_to_random=st.integers(-9, 9).map(float)),
    st.builds(FilterRule, top_k=st.integers(1, 9)),
    st.just(FilterRule(successes_only=True)),
)


_RETURNS = st.lists(st.integers(-5, 5).map(float), min_size=40, max_size=40)


_TASKS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=39, max_size=39)


def _with(rule: FilterRule, **more: Any) -> FilterConfig:
    # One task that is kept whole, because it is an error if nothing is kept.
    return FilterConfig(**vars(rule), tasks={"d": None, **more})


@settings(deadline=None, max_examples=60)
@given(usual=_RULES, own=_RULES | st.none(), returns=_RETURNS, tasks=_TASKS)
def test_a_rule_of_a_task_never_changes_other_tasks(
    indexed: Indexed,
    usual: FilterRule,
    own: FilterRule | None,
    returns: list[float],
    tasks: list[str],
) -> None:
    columns: dict[str, list[Any]] = {"return": returns, "task": [*tasks, "d"]}
    names = indexed[1]["episode_id"].to_pylist()
    of_a = {name for name, task in zip(names, columns["task"], strict=True) if task == "a"}
    plain = _kept_of(indexed, _with(usual), columns)
    special = _kept_of(indexed, _with(usual, a=own), columns)
    alone = _kept_of(indexed, _with(own) if own else FilterConfig(top_k=99), columns)
    assert special - of_a == plain - of_a
    assert special & of_a == alone & of_a


@settings(deadline=None, max_examples=60)
@given(k=st.integers(1, 9), returns=_RETURNS, turn=st.integers(1, 39))
def test_top_k_does_not_depend_on_where_records_lie(
    indexed: Indexed, k: int, returns: list[float], turn: int
) -> None:
    """The same episodes, whose records lie in another order."""
    names = indexed[1]["episode_id"].to_pylist()
    columns: dict[str, list[Any]] = {"return": returns, "episode_id": names, "task": ["a"] * 40}
    moved = {name: values[turn:] + values[:turn] for name, values in columns.items()}
    found = _kept_of(indexed, FilterConfig(top_k=k), columns)
    assert len(found) == k
    assert _kept_of(indexed, FilterConfig(top_k=k), moved) == found
