"""`inspect` shows what is in the records; its text fits the terminal and cannot drive it."""

import re
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from gato_data.errors import UsageError
from gato_data.report.inspection import inspect
from gato_data.report.text_page import bar, escape, flow, shorten, thumbnail
from pipelines import cli
from tests.building.builds import build, records, write_config
from tests.oracle import rlds_fixtures

PAGE = """\
plain/episode-005/0/1
  data set  plain, split train, pass 0
  record    2 of data/plain/1.0.0/plain-train-00000-of-00001.arrow
  task      "push", agent "arm"
  episode   "episode-005"
  window    tokens 14 to 87 of its episode, timesteps 1 to 7
  prompt    from episode "episode-009"
            tokens 0 to 21 of its episode, timesteps 0 to 1
  tokens    22 prompt + 74 window + 0 padding = 96; 27 are targets (28.1 % of 96)
  map       PPPPPPPPPPPWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW  P prompt, W window, · padding

  PROMPT: 22 tokens, timesteps 0 to 1
    timestep 0
      observation/arm/contacts  discrete    0 0 0 0
      observation/arm/joints    continuous  32514 32870 33023
                                            0.0005081 12.2 253.5
      –                         separator   33024
      action/gripper            discrete    2
      action/velocity           continuous  32412 32473
                                            -0.1943 -0.0752
      targets                               ········███
    … 1 more timestep

  WINDOW: 74 tokens, timesteps 1 to 7
    timestep 1 (cut: begins at its token 3)
      observation/arm/contacts  discrete    0
                                            cut: 1 of 4 tokens are in the sequence
      observation/arm/joints    continuous  32565 32513 32628
                                            0.01888 0.0003018 0.0907
      –                         separator   33024
      action/gripper            discrete    3
      action/velocity           continuous  32344 32151
                                            -0.3271 -0.7041
      targets                               ·····███
    … 6 more timesteps
"""


def pages(directory: Path, **options: Any) -> list[str]:
    return list(inspect(str(directory), **options))


def test_a_page(tiny_build_arrow: Path) -> None:
    (page,) = pages(
        tiny_build_arrow, dataset="plain", split="train", prompted=True, steps=1, seed=4
    )
    assert page == PAGE


def test_texts_and_images_are_decoded(tiny_build_arrow: Path) -> None:
    episodes = {
        each["episode_metadata"]["id"]: each
        for each in rlds_fixtures.random_episodes(
            5, count=12, steps=(2, 9), image_shape=(16, 32, 3)
        )
    }
    seen = 0
    for page in pages(tiny_build_arrow, dataset="toy", count=100, steps=100):
        (name,) = re.findall(r'^  episode   "(.*)"$', page, re.MULTILINE)
        window = page[page.index("  WINDOW") :]
        for text in re.split(r"^    timestep ", window, flags=re.MULTILINE)[1:]:
            number = int(re.match(r"\d+", text)[0])  # type: ignore[index]
            if "(cut" in text.split("\n")[0]:
                continue
            step = episodes[name]["steps"][number]
            observation = step["observation"]
            assert f'"{observation["mission"]}"' in text
            assert f"observation/arm_mode      discrete    {observation['arm_mode']}\n" in text
            grid = " ".join(map(str, observation["grid"].ravel().tolist()))
            assert f"observation/grid          discrete    {grid}\n" in text
            mean = observation["image"].reshape(-1, 3).mean(axis=0).round().astype(int).tolist()
            colour = "".join(f"{value:02x}" for value in mean)
            assert f"1×2 patches, 16×32 pixels, mean colour #{colour}\n" in text
            seen += 1
    assert seen > 20


def test_every_page_of_every_build_fits(tiny_build_arrow: Path, tiny_build_tfrecord: Path) -> None:
    for directory in (tiny_build_arrow, tiny_build_tfrecord):
        found = pages(directory, count=1000, steps=100)
        assert len(found) == len(records(directory)) == 38
        for page in found:
            assert all(cell_len(line) <= 100 for line in page.splitlines()), page
            assert "cannot be decoded" not in page
            tokens = sum(int(n) for n in re.findall(r"^  (?:PROMPT|WINDOW): (\d+)", page, re.M))
            marks = "".join(re.findall(r"[·█]{3,}$", page.split("\n\n", 1)[1], re.M))
            assert tokens == sum(map(int, re.findall(r"(\d+) prompt \+ (\d+) window", page)[0]))
            assert 0 < len(marks) <= tokens


def test_masks_count_the_targets(tiny_build_arrow: Path) -> None:
    for page in pages(tiny_build_arrow, count=50, steps=100):
        (stated,) = re.findall(r"(\d+) are targets", page)
        assert page.count("█") == int(stated)


def test_the_seed_chooses(tiny_build_arrow: Path) -> None:
    assert pages(tiny_build_arrow, seed=1) == pages(tiny_build_arrow, seed=1)
    assert len({pages(tiny_build_arrow, seed=seed)[0] for seed in range(9)}) > 4


def test_both_formats_show_the_same(tiny_build_arrow: Path, tiny_build_tfrecord: Path) -> None:
    def without_files(found: list[str]) -> list[str]:
        return [re.sub(r"^  record .*$", "", page, flags=re.MULTILINE) for page in found]

    left, right = (pages(x, count=9) for x in (tiny_build_arrow, tiny_build_tfrecord))
    assert without_files(left) == without_files(right)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "tou"}, "no data set 'tou'. It holds 'plain', 'toy'."),
        ({"split": "test"}, "has no split 'test'. There is 'train', 'validation'."),
        ({"task": "fly"}, 'no sequence has the task "fly". There are "lift", "push"'),
        ({"steps": 0}, "count and steps are at least 1"),
    ],
)
def test_a_filter_that_matches_nothing(
    tiny_build_arrow: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        inspect(str(tiny_build_arrow), **options)
    assert message in str(refused.value)


def test_filters(tiny_build_arrow: Path) -> None:
    for page in pages(tiny_build_arrow, task="push", split="validation", count=9):
        assert '"push"' in page
        assert "split validation" in page
    for page in pages(tiny_build_arrow, prompted=True, count=9):
        assert "PROMPT" in page


SLY = '<script>alert("1")</script>\x1b[31mred\x07\u202eback\\'


@pytest.fixture(scope="module")
def sly_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One lonely episode whose texts are written to mislead."""
    folder = tmp_path_factory.mktemp("sly")
    (episode,) = rlds_fixtures.random_episodes(1, count=1, image_shape=None)
    episode["episode_metadata"] |= {"task": SLY, "agent": "\x1b]0;title\x07", "id": "a\nb"}
    for step in episode["steps"]:
        step["observation"]["mission"] = "<b>go</b> 家に帰る\x1b[2J" * 9
    features = rlds_fixtures.random_features(None)
    rlds_fixtures.write_rlds(folder / "1.0.0", features, [episode])
    rlds_fixtures.train_text_model(folder / "text.model")
    config = {
        "vocabulary": {"text_model": "text.model"},
        "datasets": [
            {
                "name": "toy",
                "kind": "rlds",
                "path": "1.0.0",
                "task": "episode_metadata/task",
                "agent": "episode_metadata/agent",
                "episode_id": "episode_metadata/id",
                "filter": "off",
            }
        ],
    }
    build(write_config(folder, config), folder / "out")
    return folder / "out"


def test_texts_of_the_data_cannot_drive_the_terminal(sly_build: Path) -> None:
    (page,) = pages(sly_build)
    assert all(character.isprintable() for character in page.replace("\n", ""))
    assert all(cell_len(line) <= 100 for line in page.splitlines())
    assert r'task      "<script>alert(\"1\")</script>\x1b[31mred\x07\u202eback\\"' in page
    assert r'agent "\x1b]0;title\x07"' in page
    assert r'episode   "a\nb"' in page
    assert "<b>go</b> 家に帰る" in page


def test_no_prompt_and_no_such_task(sly_build: Path) -> None:
    with pytest.raises(UsageError, match="no sequence of toy has a prompt"):
        inspect(str(sly_build), prompted=True)
    with pytest.raises(UsageError, match=r'the task "fly"\. There are "<script>alert'):
        inspect(str(sly_build), task="fly")


def test_the_command(tiny_build_arrow: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["inspect", str(tiny_build_arrow), "--dataset", "plain", "--count", "2"]
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.count("WINDOW") == 2
    assert cli.main([*arguments, "--task", "x"]) == 2
    assert 'no sequence has the task "x"' in capsys.readouterr().err


def test_text_helpers() -> None:
    assert escape("a\tb\u200bc\\ d") == r"a\tb\u200bc\\ d"
    assert bar(0, 50, 100) == "W" * 25 + "·" * 25
    assert bar(20, 100, 100) == "P" * 10 + "W" * 40
    assert flow(["12", "34", "56"], width=5, lines=2) == "12 34\n56"
    assert flow(map(str, range(100, 200)), width=20, lines=1) == "100 101 … 98 more"
    assert shorten("家家家家", 1, 6) == "家家…"
    assert shorten("abcdef", 1, 6) == "abcdef"


def test_a_thumbnail_shows_the_pixels() -> None:
    import numpy as np

    pixels = np.zeros((24, 48, 3), np.uint8)
    pixels[:12, :, 0] = 255
    lines = thumbnail(pixels)
    assert len(lines) == 6
    red = "\x1b[38;2;255;0;0;48;2;255;0;0m▀"
    assert lines[0] == red * 24 + "\x1b[0m"
    assert lines[-1] == red.replace("255", "0") * 24 + "\x1b[0m"


def test_images_are_drawn_where_asked(tiny_build_arrow: Path) -> None:
    (page,) = pages(tiny_build_arrow, dataset="toy", split="train", thumbnails=True)
    assert "\x1b[38;2;" in page
