"""The table, the JSON and the plot of an evaluation."""

import io
import json

import pytest
from PIL import Image
from rich.console import Console

from gato_data.transformer.evaluation import report
from gato_data.transformer.evaluation.scores import (
    EXPERT,
    MEAN_ACTION,
    NO_ACTION,
    POLICY,
    RANDOM,
    ZEROED,
    Summary,
    TaskResult,
    summarise,
)
from tests.transformer.evaluation.fakes import episodes

LONG = "babyai-pixels/GoToImpUnlockS7N7OfAVeryLongName"


def printed(summary: Summary) -> list[str]:
    out = Console(file=io.StringIO(), width=100, markup=False)
    out.print(report.table(summary))
    assert isinstance(out.file, io.StringIO)
    return [line.rstrip() for line in out.file.getvalue().splitlines()]


def result(
    name: str, policy: list[float], zero: str = RANDOM, controls: bool = False
) -> TaskResult:
    count = len(policy)
    found = {
        POLICY: episodes(*policy, success=[True, False] * (count // 2) + [True] * (count % 2)),
        EXPERT: episodes(*[10.0] * count),
        RANDOM: episodes(*[0.0] * count),
    }
    if zero == NO_ACTION:
        found[NO_ACTION] = episodes(*[-10.0] * count)
    if controls:
        found |= {
            NO_ACTION: episodes(*[-10.0] * count),
            MEAN_ACTION: episodes(*[-2000.0] * count),
            ZEROED: episodes(*[0.25] * count),
        }
    return TaskResult(name, "set", zero, found)


def test_table_of_one_task() -> None:
    assert printed(summarise([result("a/x", [5, 5])])) == [
        "environment score         95 % return zero expert success",
        "a/x          50.0 50.0 to 50.0      5    0     10    50 %",
    ]


def test_table_of_tasks_domains_and_controls() -> None:
    none = TaskResult(
        "b/none",
        "set",
        RANDOM,
        {**result("", [1, 1], controls=True).episodes, EXPERT: episodes(0.0, 0.0)},
    )
    tasks = [result("a/x", [5, 5], controls=True), result("a/y", [6, 8], controls=True), none]
    tasks.append(result("b/y", [1234567, 1234567], controls=True))
    lines = printed(summarise(tasks))
    assert [" ".join(line.split()) for line in lines] == [
        "no mean",
        "environment score 95 % return zero expert success action action zeroed",
        "a/x 50.0 50.0 to 50.0 5 0 10 50 % -100.0 -2e+04 2.5",
        "a/y 70.0 60.0 to 80.0 7 0 10 50 % -100.0 -2e+04 2.5",
        "b/none – 1 0 0 50 % – – –",
        "b/y 1.23e+07 1.23e+07 to 1.23e+07 1.235e+06 0 10 50 % -100.0 -2e+04 2.5",
        "mean of a 60.0 55.0 to 65.0",
        "mean of b 1.23e+07 1.23e+07 to 1.23e+07",
        "mean of domains 6.17e+06 6.17e+06 to 6.17e+06",
    ]


def test_long_names_are_not_cut() -> None:
    lines = printed(summarise([result(LONG, [-12.25, 5], controls=True)]))
    assert max(map(len, lines)) <= 100
    assert LONG in "".join(line.split(" ")[0] for line in lines[2:])
    assert "-36.2 -122.5 to 50.0" in " ".join(lines[2].split())
    name = "gymnasium/CartPole-v1-perturbed"
    lines = printed(summarise([result(name, [-0.5, 9.5], controls=True)] * 2))
    assert [line.split(" ")[0] for line in lines[2:4]] == [name] * 2


def test_one_episode_has_a_score_only() -> None:
    (_, line) = printed(summarise([result("a/x", [5])]))
    assert " ".join(line.split()) == "a/x 50.0 5 0 10 100 %"


def test_the_caption_says_what_zero_is() -> None:
    chance, idle = result("a/x", [5, 5]), result("b/y", [5, 5], zero=NO_ACTION)
    said = "100 the expert; 2 episodes from unseen seeds, the same for all."
    assert report.caption(summarise([chance])) == f"Scores: 0 is random actions, {said}"
    assert report.caption(summarise([idle])) == f"Scores: 0 is no action, {said}"
    both = report.caption(summarise([chance, idle]))
    assert both == f"Scores: 0 is random actions (no action in b/y), {said}"


def test_json_holds_everything() -> None:
    summary = summarise([result("a/x", [4, 8]), result("b/y", [5, 5], zero=NO_ACTION)])
    found = json.loads(json.dumps(report.to_json(summary, {"run": "r", "checkpoint": 7})))
    assert list(found) == ["run", "checkpoint", "mean", "domains", "tasks"]
    assert found["mean"] == {"value": 67.5, "interval": [57.5, 77.5]}
    assert found["domains"]["b"] == {"value": 75.0, "interval": [75.0, 75.0]}
    first = found["tasks"][0]
    assert {key: first[key] for key in first if key != "policies"} == {
        "environment": "a/x",
        "dataset": "set",
        "domain": "a",
        "zero": "random",
        "seeds": [2**31, 2**31 + 1],
    }
    assert list(first["policies"]) == ["policy", "expert", "random"]
    assert first["policies"]["policy"] == {
        "score": {"value": 60.0, "interval": [40.0, 80.0]},
        "mean_return": 6.0,
        "success_rate": 0.5,
        "returns": [4.0, 8.0],
        "successes": [True, False],
        "steps": [1, 1],
    }
    assert first["policies"]["expert"]["success_rate"] is None
    assert found["tasks"][1]["policies"]["random"]["score"]["value"] == 50.0


def test_json_without_a_scale() -> None:
    worse = TaskResult(
        "a/x",
        "set",
        RANDOM,
        {POLICY: episodes(1, 2), EXPERT: episodes(0, 0), RANDOM: episodes(0, 1)},
    )
    found = report.to_json(summarise([worse]), {})
    assert found["mean"] is None
    assert found["domains"] == {}
    assert found["tasks"][0]["policies"]["policy"]["score"] is None
    json.dumps(found, allow_nan=False)


def blue_in_rows(picture: bytes) -> list[int]:
    """Pixels of bars in each of the picture's rows that has any."""
    image = Image.open(io.BytesIO(picture)).convert("RGB")
    rows = []
    for y in range(image.height):
        pixels = [image.getpixel((x, y)) for x in range(image.width)]
        count = sum(1 for r, g, b in pixels if b > r + 60 and b > g + 20)  # type: ignore[misc]
        if count:
            rows.append(count)
    return rows


def test_plot_shows_the_scores() -> None:
    tasks = [result("a/x", [10, 10], controls=True), result("a/y", [5, 5], controls=True)]
    picture = report.plot(summarise(tasks))
    assert picture == report.plot(summarise(tasks))
    rows = [count for count in blue_in_rows(picture) if count > 60]
    # The bar of 100 stands above that of 50, and is twice as long.
    assert rows[2] == pytest.approx(2 * rows[-3], rel=0.1)
    assert report.plot(summarise(tasks), "svg").startswith(b"<?xml")
    assert report.plot(summarise(tasks), "pdf").startswith(b"%PDF")
    alone = report.plot(summarise([result("a/x", [5])]))
    assert alone.startswith(b"\x89PNG")
