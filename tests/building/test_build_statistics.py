"""Statistics of real builds: they lie where they should, and are what a recount finds."""

import json
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

from benchmarks import data
from gato_data.sequencing import draws
from tests.building.builds import build, records, write_config

LENGTH, PROMPT = 128, 48
# Of a step: 17 observation values, the separator, 6 action values.
STEP = 24


def steps_of(number: int) -> int:
    return 10 + number % 30


@pytest.fixture(scope="module")
def walks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 episodes of one task, of 9 to 38 valid steps."""
    folder = tmp_path_factory.mktemp("walks") / "1.0.0"
    return data.write_rlds(
        folder,
        data.PROPRIOCEPTIVE,
        lambda number: data.proprioceptive(number, steps_of(number)),
        episodes=600,
        shards=3,
        distinct=60,
    )


def config_of(walks: Path, seed: int, **changes: Any) -> dict[str, Any]:
    dataset = {"name": "walks", "kind": "rlds", "path": str(walks), "filter": "off"}
    sequence = {"length": LENGTH} | changes.pop("sequence", {})
    prompt = {"length": PROMPT} | changes.pop("prompt", {})
    return {"seed": seed, "sequence": sequence, "prompt": prompt, "datasets": [dataset]} | changes


def build_walks(folder: Path, walks: Path, seed: int, **changes: Any) -> dict[str, Any]:
    return build(write_config(folder, config_of(walks, seed, **changes)), folder / "out")


def tokens_of(episode_id: str) -> int:
    """Of a whole episode; the last step is dropped."""
    file, _, record = episode_id.partition("#")
    shard = int(file.split("-")[2])  # bench-train.tfrecord-00000-of-00003
    return STEP * (steps_of((3 * int(record) + shard) % 60) - 1)


@pytest.mark.parametrize("seed", range(4))
def test_a_build_is_what_the_rules_ask(tmp_path: Path, walks: Path, seed: int) -> None:
    manifest = build_walks(tmp_path, walks, seed)
    found = manifest["datasets"]["walks"]["statistics"]
    assert found == manifest["statistics"]
    assert manifest["counts"]["sequences"] == found["prompts"]["possible"] > 3000
    # 23 of 24 tokens, but for the edges of the windows.
    assert found["token_share"]["continuous"] == pytest.approx(23 / 24, abs=0.001)
    assert found["token_share"]["separator"] == pytest.approx(1 / 24, abs=0.001)
    assert found["target_share"] == pytest.approx(6 / 24, abs=0.005)
    assert found["padding_share"] == found["text_share_of_targets"] == 0
    # Within four deviations, and never far out.
    assert abs(found["prompts"]["share"] - 0.25) < 0.03
    assert abs(found["prompt_ends"]["share"] - 0.5) < 0.07
    assert 400 < found["window_starts"]["samples"] <= 600
    for test in ("prompts", "prompt_ends", "window_starts"):
        assert found[test]["p_value"] > 0.005


@pytest.mark.parametrize("align", ["token", "timestep"])
def test_random_windows_start_anywhere(tmp_path: Path, walks: Path, align: str) -> None:
    sequence = {"windows": "random", "windows_per_episode": 4, "align": align}
    manifest = build_walks(tmp_path, walks, 1, sequence=sequence, prompt={"from_end": 0.3})
    found = manifest["statistics"]
    assert manifest["counts"]["sequences"] == 2400
    samples = found["window_starts"]["samples"]
    # Short episodes have fewer than 17 timesteps to start from, and tell nothing.
    assert samples == 2400 if align == "token" else 1000 < samples < 1700
    assert found["prompt_ends"]["expected"] == 0.3
    assert abs(found["prompt_ends"]["share"] - 0.3) < 0.07
    for test in ("prompts", "prompt_ends", "window_starts"):
        assert found[test]["p_value"] > 0.005


def test_the_statistics_are_what_a_recount_finds(tmp_path: Path, walks: Path) -> None:
    """From the records alone, with SciPy's tests; only the point in its cell is drawn again."""
    manifest = build_walks(tmp_path, walks, 7)
    counts, found = manifest["counts"], manifest["statistics"]
    every = records(tmp_path / "out")
    prompted = [r for r in every if r["prompt_length"]]
    assert found["prompts"]["prompted"] == counts["prompts_drawn"] == len(prompted)
    assert found["prompts"]["share"] == pytest.approx(len(prompted) / len(every), rel=1e-5)

    # A uniform start reaches the end only by chance, one in hundreds.
    at_end = sum(r["prompt_start"] + PROMPT == tokens_of(r["prompt_episode_id"]) for r in prompted)
    ends = found["prompt_ends"]
    assert ends["from_end"] + ends["uniform"] == len(prompted)
    assert 0 <= at_end - ends["from_end"] <= 8

    windows: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for record in every:
        windows[record["episode_id"]].append(record)
    bins = Counter[int]()
    for name, cut in windows.items():
        first, second = sorted(cut, key=lambda r: r["window_start"])[:2]
        room = LENGTH - first["prompt_length"]
        if tokens_of(name) >= room + LENGTH:
            inside = draws.uniform(7, "cell", "walks", name, 0, 1)
            bins[int((second["window_start"] - 1 + inside) * 17 / room)] += 1
    starts = found["window_starts"]
    assert starts["bins"] == [bins[number] for number in range(17)]
    expected = stats.chisquare(starts["bins"])
    assert starts["chi_square"] == pytest.approx(expected.statistic, rel=1e-5)
    assert starts["p_value"] == pytest.approx(expected.pvalue, rel=1e-5)


def test_nothing_but_the_sequences_changes_the_statistics(tmp_path: Path, walks: Path) -> None:
    """Neither the size of shards nor the format; workers: `test_determinism` compares manifests."""
    base = build_walks(tmp_path / "base", walks, 7)
    output = {"shard_size": 300_000, "format": "tfrecord"}
    other = build_walks(tmp_path / "other", walks, 7, output=output)
    assert other["datasets"]["walks"]["splits"]["train"]["shards"] > 4
    assert other["statistics"] == base["statistics"]
    assert other["counts"] == base["counts"]
    sidecars = (tmp_path / "other/out/_units").glob("*.json")
    counts = [json.loads(path.read_text())["counts"] for path in sidecars]
    drawn = sum(found.get("prompts_drawn", 0) for found in counts)
    assert drawn == base["statistics"]["prompts"]["drawn"]


def test_only_who_has_a_donor_can_be_prompted(tiny_build_arrow: Path) -> None:
    """Groups of a task, an agent and a split, of which some are one episode alone."""
    manifest = json.loads((tiny_build_arrow / "manifest.json").read_text())
    config = manifest["config"]["prompt"]
    for name, described in manifest["datasets"].items():
        groups: dict[tuple[str, str, str], set[str]] = defaultdict(set)
        every = list(with_split(tiny_build_arrow, name))
        for split, record in every:
            groups[record["task"], record["agent"], split].add(record["episode_id"])
        alone = {name for found in groups.values() if len(found) == 1 for name in found}
        assert alone
        prompts = described["statistics"]["prompts"]
        assert prompts["possible"] == sum(r["episode_id"] not in alone for _, r in every)
        assert prompts["possible"] < described["counts"]["sequences"] == len(every)
        assert prompts["share_of_all"] < prompts["share"]
        assert prompts["expected"] == config["probability"] == 0.5
        assert prompts["drawn"] == prompts["prompted"] > 0
        assert described["statistics"]["window_starts"]["p_value"] is None


def with_split(directory: Path, dataset: str) -> Any:
    from gato_data.records.shards import read_shard

    for path in sorted((directory / f"data/{dataset}").rglob("*.arrow")):
        for batch in read_shard(str(path)):
            for row in range(len(batch)):
                yield path.name.split("-")[1], batch.record(row)


def test_prompts_of_a_donor_that_cannot_lend_are_drawn_and_not_given(tmp_path: Path) -> None:
    """Two episodes, one of them with images that end early: a header, and nothing to decode."""

    def episode(number: int) -> dict[str, Any]:
        found = data.pixels(number, steps=30)
        if number:
            images = [image[: len(image) // 2] for image in found["steps/observation/image"]]
            found["steps/observation/image"] = images
        return found

    source = data.write_rlds(tmp_path / "in", data.PIXELS, episode, episodes=2, shards=1)
    changes = {"limits": {"quarantine_share": 0.5}, "prompt": {"probability": 1.0}}
    manifest = build_walks(tmp_path, source, 1, **changes)
    counts, prompts = manifest["counts"], manifest["statistics"]["prompts"]
    assert (manifest["datasets"]["walks"]["quarantined"], counts["bad_donors"]) == (1, 1)
    assert prompts == {
        "prompted": 0,
        "share_of_all": 0,
        "possible": counts["sequences"],
        "share": 0,
        "drawn": counts["sequences"],
        "expected": 1,
        "p_value": 1,
    }
