"""What keeps a plan of a hundred million episodes possible, pinned without timing.

The input is what `benchmarks.scale_data` writes: an index of many episodes, of which no data exist.
"""

import tracemalloc
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import scale_data
from benchmarks.scale import job_of
from benchmarks.scale_data import Shape
from gato_data.building import columns, episode_plan, units, write_plan
from gato_data.building.columns import codes_of, repeated_rows, texts_of
from gato_data.building.dataset_plan import total
from gato_data.building.index import read_index
from gato_data.building.plan import Plan
from gato_data.building.steps import open_datasets, plan
from gato_data.building.units import Pieces
from gato_data.sequencing import draws, window_columns
from gato_data.sequencing.windows import Steps, WindowRule, windows
from gato_data.storage import files

# 24 tokens a step, as vectors have; two tasks.
# Fewer than any object of Python takes with a reference to it, on top of the arrays: rows, codes,
# keys, decisions and splits of eight bytes each.
BYTES_AN_EPISODE = 360
VECTORS = Shape("vectors", 300, 40.0, image=0, state=17, actions=6, text=0, tasks=2)
TOLD = Shape("told", 120, 30.0, image=16, state=1, actions=2, text=8, tasks=3)


def planned(folder: Path, *shapes: Shape) -> Plan:
    """Writes an index of these shapes, and plans it."""
    scale_data.write_inputs(folder, list(shapes))
    indexed = scale_data.write_index(job_of(folder), list(shapes))
    return plan(job_of(folder), open_datasets(job_of(folder)), indexed)


def unit_rows(folder: Path) -> list[list[dict[str, Any]]]:
    paths = sorted((folder / "out/plan").glob("units-*.parquet"))
    opened = [pq.ParquetFile(path) for path in paths]
    return [
        file.read_row_group(group).to_pylist()
        for file in opened
        for group in range(file.num_row_groups)
    ]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    folder = tmp_path_factory.mktemp("small")
    return folder, planned(folder, VECTORS, TOLD)


@pytest.fixture
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small batches, so that what is in memory at a time is little beside the columns."""
    monkeypatch.setattr(columns, "_TEXTS", 1 << 10)
    monkeypatch.setattr(episode_plan, "_EPISODES", 1 << 10)
    monkeypatch.setattr(units, "_ROWS", 1 << 10)
    monkeypatch.setattr(window_columns, "_WINDOWS", 1 << 12)


@pytest.mark.usefixtures("few_at_once")
def test_memory_of_a_plan_is_columns_and_no_objects(tmp_path: Path) -> None:
    """100,000 episodes: an object of any kind for each takes more than what is allowed here."""
    shape = Shape("many", 100_000, 8.0, image=0, state=17, actions=6, text=0, tasks=4)
    scale_data.write_inputs(tmp_path, [shape])
    job = job_of(tmp_path)
    indexed = scale_data.write_index(job, [shape])
    contexts = open_datasets(job)
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    try:
        made = plan(job, contexts, indexed)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert made.units > 0
    # Arrays of numpy count here, those of Arrow do not.
    assert peak < 100_000 * BYTES_AN_EPISODE
    assert pa.total_allocated_bytes() - before < 1e6


def test_one_data_set_is_in_memory_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the next index is read, nothing of the last one is held."""
    held: list[int] = []

    def watched(*arguments: Any) -> pa.Table:
        held.append(pa.total_allocated_bytes())
        return read_index(*arguments)

    monkeypatch.setattr("gato_data.building.steps.read_index", watched)
    # Nothing waits for more to be written with it.
    monkeypatch.setattr(write_plan, "UNITS_PER_FILE", 1)
    monkeypatch.setattr(units, "UNITS_PER_FILE", 1)
    monkeypatch.setattr(write_plan, "_GROUP", 1 << 10)
    shapes = [Shape(f"set{n}", 20_000, 8.0, 0, 17, 6, 0, 2) for n in range(3)]
    planned(tmp_path, *shapes)
    assert len(held) == 3
    # 20,000 rows take some 4 MB.
    assert max(held) - held[0] < 1e6


def test_plan_files_are_written_in_groups_while_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write_plan, "UNITS_PER_FILE", 3)
    monkeypatch.setattr(units, "UNITS_PER_FILE", 3)
    pending: list[int] = []
    publish = write_plan.UnitFiles._publish

    def watched(self: write_plan.UnitFiles) -> None:
        pending.append(len(self._pending))
        publish(self)

    monkeypatch.setattr(write_plan.UnitFiles, "_publish", watched)
    monkeypatch.setattr(scale_data, "SHARD_SIZE", 40_000)
    made = planned(tmp_path, VECTORS, TOLD)
    assert made.units > 12
    assert pending[:-1] == [3] * (made.units // 3 - (made.units % 3 == 0))
    assert sum(pending) == made.units
    names = sorted(path.name for path in (tmp_path / "out/plan").glob("units-*.parquet"))
    assert names == [f"units-{number:05d}.parquet" for number in range(-(-made.units // 3))]
    numbers = [{row["unit"] for row in rows} for rows in unit_rows(tmp_path)]
    assert numbers == [{number} for number in range(made.units)]


def test_files_of_a_plan_that_was_given_up_are_removed(tmp_path: Path) -> None:
    scale_data.write_inputs(tmp_path, [VECTORS])
    folder = tmp_path / "out" / "plan"
    folder.mkdir(parents=True)
    (folder / "units-00007.parquet").write_bytes(b"of a larger plan")
    indexed = scale_data.write_index(job_of(tmp_path), [VECTORS])
    plan(job_of(tmp_path), open_datasets(job_of(tmp_path)), indexed)
    assert [path.name for path in folder.glob("units-*")] == ["units-00000.parquet"]


def test_rows_of_a_unit_are_bounded_by_the_shard(small: tuple[Path, Plan]) -> None:
    folder, made = small
    found = unit_rows(folder)
    assert len(found) == made.units
    rows = [row for unit in found for row in unit]
    assert len({(row["dataset"], row["episode_id"]) for row in rows}) == len(rows)
    for unit in found:
        sizes = Counter[int]()
        for row in unit:
            sizes[row["piece"]] += row["size"]
        assert sorted(sizes) == list(range(len(sizes)))
        assert max(sizes.values()) <= units.LARGEST_PIECE


def test_donors_lie_in_the_same_group(small: tuple[Path, Plan]) -> None:
    """Donors by name, looked up one by one, against the arrays that chose them."""
    folder, _ = small
    rows = [row for unit in unit_rows(folder) for row in unit]
    of = {(row["dataset"], row["episode_id"]): row for row in rows}
    lent = Counter[tuple[str, str]]()
    for row in rows:
        assert len(row["donors"]) == 3
        for donor in row["donors"]:
            found = of[row["dataset"], donor["episode_id"]]
            assert (found["task"], found["agent"]) == (row["task"], row["agent"])
            assert [found[x] for x in ("file", "offset", "size", "crc")] == [
                donor[x] for x in ("file", "offset", "size", "crc")
            ]
            assert donor["episode_id"] != row["episode_id"]
        lent[row["dataset"], row["donors"][0]["episode_id"]] += 1
    assert set(lent.values()) == {1}
    assert set(lent) == set(of)


def test_the_output_is_listed_once(small: tuple[Path, Plan], tmp_path: Path) -> None:
    """However many files and units there are, a plan lists a folder once."""
    listed: list[str] = []
    names = files.list_names

    def counting(folder: str, pattern: str = "*") -> list[str]:
        listed.append(folder)
        return names(folder, pattern)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(files, "list_names", counting)
        shape = Shape("sized", 60, 900_000.0, 0, 17, 6, 0, 2)
        assert shape.files > 5
        made = planned(tmp_path, shape)
    assert made.units > 5
    assert [folder for folder in listed if folder.startswith(str(tmp_path / "out"))] == [
        str(tmp_path / "out" / "plan")
    ]


# As many as fill a window, and one more or less, among others.
TOKENS = st.one_of(st.sampled_from([15, 16, 17, 32]), st.integers(1, 200))
RULES = st.builds(
    WindowRule,
    length=st.just(16),
    mode=st.sampled_from(["cover", "random"]),
    per_episode=st.integers(1, 4),
    aligned=st.just(False),
    probability=st.sampled_from([0.0, 0.25, 0.7, 1.0]),
    from_end=st.sampled_from([0.0, 0.5, 1.0]),
    prompt_length=st.integers(1, 15),
)


@given(
    rule=RULES,
    sizes=st.lists(st.tuples(TOKENS, st.integers(0, 40)), min_size=1, max_size=12),
    seed=st.integers(0, 9),
    at_once=st.sampled_from([1, 40, 1 << 18]),
)
def test_windows_as_columns_are_those_cut_one_by_one(
    rule: WindowRule, sizes: list[tuple[int, int]], seed: int, at_once: int
) -> None:
    names = [f"episode-{number}" for number in range(len(sizes))]
    tokens, lent = np.array(sizes, np.int64).T
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(window_columns, "_WINDOWS", at_once)
        runs = list(window_columns.window_columns(rule, tokens, lent, seed, "toy", names, 1))
    counts = np.concatenate([run.counts for run in runs])
    found = [
        np.concatenate([getattr(run, name) for run in runs]).tolist()
        for name in ("starts", "stops", "prompt_starts", "prompt_stops")
    ]
    cut = [
        list(windows(rule, whole(own), partial(lender, its), seed, "toy", name, 1))
        for name, (own, its) in zip(names, sizes, strict=True)
    ]
    assert counts.tolist() == [len(found) for found in cut]
    expected = [
        (window.start, window.stop, window.prompt.start, window.prompt.stop)
        for its in cut
        for window in its
    ]
    assert list(zip(*found, strict=True)) == expected
    assert np.concatenate([run.tokens for run in runs]).tolist() == [
        sum(window.length + window.prompt.length for window in found) for found in cut
    ]


def whole(tokens: int) -> Steps:
    return Steps(np.array([0, tokens], np.int64))


def lender(tokens: int) -> Steps | None:
    return whole(tokens) if tokens else None


@given(names=st.lists(st.text(max_size=4), max_size=9), count=st.integers(1, 70))
def test_one_generator_for_many_names_draws_what_each_of_its_own_would(
    names: list[str], count: int
) -> None:
    uniforms = draws.Uniforms()
    for name in names:
        expected = draws.generator(3, "windows", "toy", name, 0).random(count)
        assert uniforms.draw(count, 3, "windows", "toy", name, 0).tolist() == expected.tolist()
    keys = draws.sort_keys(3, "limit", [("toy", name) for name in names])
    as_bytes = [draws.sort_key(3, "limit", "toy", name) for name in names]
    assert [high.to_bytes(8, "big") + low.to_bytes(8, "big") for high, low in keys.tolist()] == (
        as_bytes
    )


@given(parts=st.lists(st.lists(st.floats(0, 1e9), max_size=30), max_size=5))
def test_a_total_does_not_depend_on_how_columns_are_cut(parts: list[list[float]]) -> None:
    expected = 0.0
    for value in (value for part in parts for value in part):
        expected += value
    assert total(np.array(part, np.float64) for part in parts) == expected


@given(names=st.lists(st.sampled_from(["a", "b", "ä", "", "c" * 9]), max_size=12))
def test_texts_as_codes(names: list[str]) -> None:
    column = pa.chunked_array([pa.array([*names, None], pa.string())])
    codes, held = codes_of(column)
    assert [held[code] if code >= 0 else None for code in codes] == [*names, None]
    rows: npt.NDArray[np.int64] = np.arange(len(names))[::2]
    assert list(texts_of(column, rows)) == names[::2]
    counts = Counter(names[::2])
    repeated = [row for row in rows.tolist() if counts[names[row]] > 1]
    assert repeated_rows(column, rows).tolist() == repeated


def test_pieces_in_another_order() -> None:
    pieces = Pieces(
        np.array([3, 4, 7, 8, 9, 12]), np.array([0, 2, 3, 6]), np.array([20.0, 10.0, 30.0])
    )
    found = pieces.ordered(np.array([2, 0, 1]))
    assert found.rows.tolist() == [8, 9, 12, 3, 4, 7]
    assert found.starts.tolist() == [0, 3, 5, 6]
    assert found.bytes.tolist() == [30.0, 20.0, 10.0]
    assert found.firsts.tolist() == [8, 3, 7]
