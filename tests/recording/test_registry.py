import re
import subprocess
import sys

import pytest

from gato_data.errors import UsageError
from gato_data.recording import available, dataset_name, registry


def test_all_environments_are_listed_once() -> None:
    names = [name for name, _ in available()]
    assert len(names) == len(set(names))
    families = dict.fromkeys(registry.FAMILIES, 0)
    for name in names:
        families[name.split("/")[0]] += 1
    assert families["babyai"] == families["babyai-pixels"] >= 90
    assert families["metaworld"] == 50
    assert families["dm_control"] == families["gymnasium"] == families["prompted"] == 2
    assert {
        "babyai/GoToLocal",
        "babyai/GoToObjS6",  # registered as -v1, where others are -v0
        "babyai-pixels/BossLevel",
        "metaworld/reach-v3",
        "dm_control/lqr-lqr_2_1",
        "gymnasium/CartPole-v1",
        "gymnasium/CartPole-v1-perturbed",
        "prompted/left",
        "prompted/right",
    } < set(names)
    assert "babyai/KeyInBox" not in names  # the bot cannot solve it


def test_dataset_names() -> None:
    assert dataset_name("babyai/GoToLocalS8N7") == "babyai_go_to_local_s8_n7"
    assert dataset_name("babyai-pixels/GoToLocal") == "babyai_pixels_go_to_local"
    assert dataset_name("metaworld/reach-v3") == "metaworld_reach_v3"
    assert dataset_name("dm_control/lqr-lqr_2_1") == "dm_control_lqr_lqr_2_1"
    assert dataset_name("gymnasium/CartPole-v1") == "gymnasium_cart_pole_v1"
    name = "gymnasium_cart_pole_v1_perturbed"
    assert dataset_name("gymnasium/CartPole-v1-perturbed") == name
    assert dataset_name("prompted/left") == "prompted_left"
    names = [dataset_name(name) for name, _ in available()]
    assert len(names) == len(set(names))
    assert all(re.fullmatch("[a-z][a-z0-9_]*", name) for name in names)


@pytest.mark.parametrize(
    ("asked", "suggested"),
    [
        ("babyai/GoToLocl", "babyai/GoToLocal"),
        ("BabyAI/gotolocal", "babyai/GoToLocal"),
        ("metaworld/reach-v2", "metaworld/reach-v3"),
        ("CartPole-v1", "gymnasium/CartPole-v1"),
    ],
)
def test_unknown_names_get_suggestions(asked: str, suggested: str) -> None:
    with pytest.raises(UsageError, match=r"`gato-data record --list`") as caught:
        registry.make(asked)
    assert repr(asked) in str(caught.value)
    assert suggested in re.split("[;,. ]+", str(caught.value))


@pytest.mark.parametrize(
    ("environment", "module"),
    [
        ("babyai/GoToLocal", "minigrid"),
        ("metaworld/reach-v3", "metaworld.env_dict"),
        ("dm_control/lqr-lqr_2_1", "dm_control.suite"),
    ],
)
def test_missing_packages_name_the_extra(
    monkeypatch: pytest.MonkeyPatch, environment: str, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UsageError, match=r"pip install 'gato-data\[envs\]'"):
        registry.make(environment)


def test_importing_it_imports_no_environment_and_no_framework() -> None:
    code = "import sys, gato_data.recording; print(*{m.partition('.')[0] for m in sys.modules})"
    output = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout
    heavy = {"gymnasium", "minigrid", "metaworld", "dm_control", "mujoco", "rlds", "tensorflow"}
    assert not heavy.intersection(output.decode().split())
