"""docs/loading.md says what the loader does: every block runs, and gives what the page says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gato_data
from gato_data.loading.directory import open_build
from tests.docs import pages

PAGE = "loading.md"
CODE = pages.blocks(PAGE)


@pytest.fixture
def folder(
    tmp_path: Path,
    tiny_build_arrow: Path,
    tiny_build_tfrecord: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Two builds and a mixture, where the page has them."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/robots").symlink_to(tiny_build_arrow)
    (tmp_path / "out/web").symlink_to(tiny_build_tfrecord)
    (mixture,) = pages.blocks(PAGE, "yaml").values()
    (tmp_path / "mixture.yaml").write_text(mixture)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same(one: Any, other: Any) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], name)


def table(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines()]
    start = lines.index("| field | type | meaning |")
    stop = next(n for n in range(start, len(lines)) if not lines[n].startswith("|"))
    return lines[start:stop]


def test_the_table_is_that_of_the_docstring() -> None:
    shown = table((pages.DOCS / PAGE).read_text())
    assert shown == table(gato_data.load.__doc__ or "")
    assert len(shown) == 14


def test_the_table_has_every_field_of_a_batch(tiny_build_arrow: Path) -> None:
    named = {
        name.strip("` ")
        for row in table((pages.DOCS / PAGE).read_text())[2:]
        for name in row.split("|")[1].split(",")
    }
    spec = gato_data.load(tiny_build_arrow, batch_size=2, images="packed").element_spec
    assert named == set(spec)


def test_every_block_of_the_page_is_tested() -> None:
    assert set(CODE) == {
        "Loading",
        "What is drawn",
        "What is drawn -",
        "The batch",
        "Dense or packed images",
        "What counts in the loss",
        "Stop and resume",
        "Several hosts",
    }


def test_the_first_block(folder: Path) -> None:
    found = pages.run(CODE["Loading"])
    assert found["tokens"].shape == found["targets"].shape == found["counts"].shape == (8, 96)
    np.testing.assert_array_equal(found["targets"][:, :-1], found["tokens"][:, 1:])


def test_sources(folder: Path) -> None:
    found = pages.run(CODE["What is drawn"])

    def weights(name: str) -> dict[tuple[str, str], float]:
        sources = found[name].stream.sources
        total = sum(one.weight for one in sources)
        return {
            (Path(one.build.directory).name, one.dataset): round(100 * one.weight / total, 9)
            for one in sources
        }

    robots, web = ("robots", "toy"), ("web", "toy")
    assert weights("one") == {robots: 50, ("robots", "plain"): 50}
    assert list(weights("two").values()) == [25] * 4
    assert weights("mixed")[robots] == 42.65
    assert weights("mixed")[web] == 7.35
    assert weights("fine")[robots] == round(85.3 * 2 / 3, 9)
    assert weights("fine")[web] == 7.35
    assert weights("same") == weights("fine")
    same(next(found["same"]), next(found["fine"]))


def test_one_epoch_of_what_is_held_out(folder: Path) -> None:
    found = pages.run(CODE["What is drawn -"])
    shards = open_build("out/robots").select("validation")
    assert found["sequences"] == sum(shard.sequences for shard in shards) > 0


def test_the_loss_of_equal_logits_is_that_of_a_uniform_guess(folder: Path) -> None:
    found = pages.run(CODE["The batch"])
    assert found["batch"]["loss_mask"].sum() > 0
    assert found["loss"] == pytest.approx(np.log(33027), rel=1e-5)


def test_packed_pixels_are_the_dense_ones(folder: Path) -> None:
    found = pages.run(CODE["Dense or packed images"])
    dense = next(gato_data.load("out/robots", batch_size=8, weights={"toy": 1}))
    assert dense["patches"].shape == (8, 96, 768)
    packed = {row.tobytes(): n for n, row in enumerate(found["batch"]["tokens"])}
    assert found["batch"]["patches"].shape[0] == 2
    # The rows stand in other places: a row is known by the tokens of all fields.
    loaded = gato_data.load("out/robots", batch_size=8)
    by_tokens: dict[bytes, list[np.ndarray]] = {}
    for _, batch in zip(range(40), loaded, strict=False):
        for tokens, patches, modality in zip(
            batch["tokens"], batch["patches"], batch["modality"], strict=True
        ):
            by_tokens.setdefault(tokens.tobytes(), []).append(patches[modality == 2])
    checked = 0
    for tokens, row in packed.items():
        mine = found["pixels"][found["rows"] == row]
        if len(mine):
            assert any(np.array_equal(mine, other) for other in by_tokens[tokens])
            checked += 1
    assert checked > 0


def test_roles(folder: Path) -> None:
    found = pages.run(CODE["What counts in the loss"])
    plain, actions, silent = (
        next(gato_data.load("out/robots", batch_size=8)),
        next(found["actions_only"]),
        next(found["no_prompts"]),
    )
    is_text = np.roll(plain["modality"], -1, 1) == 1
    inside = np.arange(1, 97) < plain["prompt_length"][:, None]
    np.testing.assert_array_equal(actions["loss_mask"], plain["loss_mask"] * ~is_text)
    np.testing.assert_array_equal(silent["loss_mask"], plain["loss_mask"] * ~inside)
    assert (plain["loss_mask"] * is_text).any()
    assert (plain["loss_mask"] * inside).any()


def test_resume(folder: Path) -> None:
    found = pages.run(CODE["Stop and resume"])
    same(found["resumed"], found["expected"])
    assert len(found["saved"]) < 1000


def test_hosts(folder: Path) -> None:
    found = pages.run(CODE["Several hosts"])
    whole = next(gato_data.load("out/robots", batch_size=8))
    parts = (found["first"], found["second"])
    same({name: np.concatenate([part[name] for part in parts]) for name in whole}, whole)
