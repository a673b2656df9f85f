"""The tables of a mixture, as `plan` and `build` print them."""

from pathlib import Path
from typing import Any

import pytest

from gato_data.building.assumed import AssumedPlan
from pipelines import tables
from pipelines.cli import main
from tests.building.builds import write_config
from tests.oracle import rlds_fixtures

MIXTURE: dict[str, Any] = {
    "steps": 1_000_000,
    "batch_size": 512,
    "datasets": {
        "ale_atari": {"weight": 9.5, "share": 0.0950665, "sequences": 1471562, "repeats": 33.0764},
        "n" * 100: {"weight": 0.00123, "share": 1.2e-5, "sequences": 0, "repeats": None},
        "a_large_one": {
            "weight": 89.5,
            "share": 0.904921,
            "sequences": 987_654_321_098_765,
            "repeats": 4.69e-7,
        },
    },
}
MIB = 1 << 20
CONFIG = """
datasets:
  - name: robot
    kind: rlds
    path: nowhere/robot
    assumed: {records: 1000, tokens: 10240000, image_share: 0.5}
  - name: photos
    kind: image_text
    path: nowhere/photos
    weight: 3
    validation: 0.5
    assumed: {records: 5000}
prompt: {probability: 0}
mixture: {steps: 1000, batch_size: 16}
"""


def printed(table: Any, capsys: pytest.CaptureFixture[str]) -> list[str]:
    tables.console().print(table)
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


def test_the_table_of_a_mixture(capsys: pytest.CaptureFixture[str]) -> None:
    assert [" ".join(line.split()) for line in printed(tables.mixture_table(MIXTURE), capsys)] == [
        "data set weight share per batch sequences drawn repeats",
        "ale_atari 9.5 9.51 % 48.7 1,471,562 48.7 M 33.1",
        f"{'n' * 29}… 0.00123 0.00 % 0.0 0 6.14 k –",
        "a_large_one 89.5 90.49 % 463.3 987,654,321,098,765 463 M 4.69e-07",
    ]


def test_it_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(tables.mixture_table(MIXTURE), capsys)
    assert all(len(line) <= 100 for line in lines)
    # No number is cut: only the name ends with an ellipsis.
    assert sum("…" in line for line in lines) == 1


def test_the_line_above() -> None:
    assert tables.mixture_line(MIXTURE) == "A training of 1,000,000 steps of 512 sequences:"


def test_the_table_of_assumed_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    plans = [
        AssumedPlan("ale_atari", 1_471_562, 1_400_000, 1.5e9, 1003 * 1024 * MIB, 9432.0),
        AssumedPlan("n" * 100, 6, 6, 12.0, 100.0, 0.036),
        AssumedPlan("a_large_one", 987_654_321_098_765, 1, 8.9e14, 5e21, 3.6e12),
    ]
    lines = printed(tables.assumed_table(plans, MIXTURE), capsys)
    assert [" ".join(line.split()) for line in lines] == [
        "data set weight share sequences tokens on disk repeats vCPU hours",
        "ale_atari 9.5 9.51 % 1.47 M 1.5 G 1,003 GiB 33.1 2.62",
        f"{'n' * 29}… 0.00123 0.00 % 6 12 100 B – 1e-05",
        "a_large_one 89.5 90.49 % 988 T 890 T 4,440,892 PiB 4.69e-07 1 G",
        "total 99 988 T 890 T 4,440,892 PiB 1 G",
    ]
    assert all(len(line) <= 100 for line in lines)
    assert len(printed(tables.assumed_table(plans[:1], MIXTURE), capsys)) == 2


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0, "0"),
        (0.02262, "0.0226"),
        (33.08, "33.1"),
        (999.4, "999"),
        (999.6, "1 k"),
        (1913.04, "1.91 k"),
    ],
)
def test_amounts(value: float | None, text: str) -> None:
    assert tables.amount(value) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(999, "999"), (999.7, "1 k"), (999_499, "999 k"), (999_600, "1 M"), (2.5e15, "2,500 T")],
)
def test_no_count_is_written_as_a_power_of_ten(count: float, text: str) -> None:
    assert tables.short(count) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(1023, "1,023 B"), (1000 << 20, "1,000 MiB"), (1 << 50, "1 PiB"), (3 << 60, "3,072 PiB")],
)
def test_sizes(count: int, text: str) -> None:
    assert tables.size(count) == text


def test_plan_with_assumed_sizes_needs_no_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By hand: an episode of 10 sequences has 11 windows; five pairs make a sequence."""
    config = tmp_path / "a.yaml"
    config.write_text(CONFIG)
    assert main(["plan", str(config), "--assume-sizes"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    assert [" ".join(line.split()) for line in captured.out.splitlines()] == [
        "Sizes as the config assumes them. A training of 1,000 steps of 16 sequences:",
        "",
        "data set weight share sequences tokens on disk repeats vCPU hours",
        "robot 1 25.00 % 11 k 11.3 M 4.18 GiB 0.364 0.0111",
        "photos 3 75.00 % 1 k 1.02 M 709 MiB 24 0.00182",
        "total 4 12 k 12.3 M 4.87 GiB 0.0129",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["a.yaml"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--output", "out"], "--output"),
        (["--limit", "3"], "--limit"),
        (["--workers", "2"], "--workers"),
        (["--runner=DirectRunner"], "--runner=DirectRunner"),
    ],
)
def test_options_without_meaning_are_refused(
    words: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "a.yaml"
    config.write_text(CONFIG)
    assert main(["plan", str(config), "--assume-sizes", *words]) == 2
    assert capsys.readouterr().err == (
        f"gato-data: {named} has no meaning with --assume-sizes, which reads and writes nothing. "
        "Leave one of the two out.\n"
    )


def test_without_assumed_sizes_plan_needs_an_output(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "a.yaml"
    config.write_text(CONFIG.replace("    assumed: {records: 5000}\n", ""))
    assert main(["plan", str(config)]) == 2
    assert "plan needs --output DIR" in capsys.readouterr().err
    assert main(["plan", str(config), "--assume-sizes"]) == 2
    assert "data set 'photos': nothing is assumed." in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["build", str(config)])


def test_plan_and_build_print_the_mixture(
    tiny_input: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The sequences of the manifest, all of them for training or held out by a share."""
    common = {
        "kind": "rlds",
        "path": str(tiny_input / "1.0.0"),
        "observation": ["steps/observation/arm"],
        "filter": "off",
        "episode_id": "episode_metadata/id",
    }
    datasets = [
        {"name": "first", "weight": 3, **common},
        {"name": "second", "validation": 0.5, **common},
    ]
    described = {
        "sequence": {"length": 64},
        "prompt": {"length": 16},
        "mixture": {"steps": 100, "batch_size": 8},
    }
    config = write_config(tmp_path, {**described, "datasets": datasets}, "two.yaml")
    words = [str(config), "--output", str(tmp_path / "out"), "--quiet"]
    shown = []
    for verb in ("plan", "build"):
        assert main([verb, *words]) == 0
        out = capsys.readouterr().out
        assert "A training of 100 steps of 8 sequences:" in out
        lines = [line.split() for line in out.splitlines()]
        shown.append([row for row in lines if row[:1] in (["first"], ["second"])][2:])
    from gato_data.records.manifest import read_manifest

    mixture = read_manifest(str(tmp_path / "out"))["mixture"]
    first, second = (mixture["datasets"][name] for name in ("first", "second"))
    assert 0 < second["sequences"] < first["sequences"]
    assert first["repeats"] == pytest.approx(600 / first["sequences"], rel=1e-5)
    first_repeats, second_repeats = (tables.amount(x["repeats"]) for x in (first, second))
    for rows in shown:
        assert [" ".join(row) for row in rows] == [
            f"first 3 75.00 % 6.0 {first['sequences']} 600 {first_repeats}",
            f"second 1 25.00 % 2.0 {second['sequences']} 200 {second_repeats}",
        ]
    config = write_config(tmp_path, {**described, "datasets": datasets[:1]}, "one.yaml")
    assert main(["plan", str(config), "--output", str(tmp_path / "one"), "--quiet"]) == 0
    assert "A training of" not in capsys.readouterr().out


def test_agents_and_corpora_each_have_a_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    robot = {"name": "robot", "kind": "rlds", "path": "robot", "filter": "off"}
    episodes = rlds_fixtures.random_episodes(3, count=6)
    rlds_fixtures.write_rlds(tmp_path / "robot", rlds_fixtures.random_features(), episodes)
    (tmp_path / "words.jsonl").write_text('{"text": "go to the ball"}\n{"text": ""}\n' * 3)
    words = {"name": "words", "kind": "text", "path": "words.jsonl"}
    model = rlds_fixtures.train_text_model(tmp_path / "text.model")
    tables_of: dict[str, list[str]] = {}
    for name, datasets in {"both": [robot, words], "robot": [robot], "words": [words]}.items():
        config = {
            "vocabulary": {"text_model": str(model)},
            "limits": {"quarantine_share": 0.6},
            "datasets": datasets,
        }
        path = write_config(tmp_path, config, f"{name}.yaml")
        for verb in ("plan", "build"):
            assert main([verb, str(path), "--output", str(tmp_path / name), "--quiet"]) == 0
            tables_of[f"{verb} {name}"] = capsys.readouterr().out.split("\n\n")
    headings = {name: [x.split("\n")[0] for x in found] for name, found in tables_of.items()}
    for verb in ("plan", "build"):
        tasks, corpora = headings[f"{verb} both"][:2]
        assert tasks.split()[-8:-3] == ["episodes", "kept", "expert", "threshold", "sequences"]
        assert corpora.split() == ["corpus", "records", "kept", "sequences", "tokens", "pad", "bad"]
        [row] = tables_of[f"{verb} both"][1].split("\n")[1:]
        # Usable records, of which all are kept, and the others.
        assert (row.split()[:4], row.split()[-1]) == (["words", "3", "3", "3"], "3")
        assert [x.split()[0] for x in headings[f"{verb} robot"]].count("corpus") == 0
        assert headings[f"{verb} words"][0] == corpora
    assert "3 sequences, " in tables_of["build words"][1]
    assert "prompted" not in tables_of["build words"][1]
    assert "% prompted), " in tables_of["build robot"][-1]
