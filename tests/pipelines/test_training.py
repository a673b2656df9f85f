"""The verb `train`: its options, and what is refused."""

from pathlib import Path

import pytest

from gato_data.errors import UsageError
from gato_data.transformer.config import PRESETS
from pipelines import cli
from pipelines.command_line import parser
from pipelines.training import choose_model, read_settings


def test_settings_of_the_model() -> None:
    texts = ["layers=4", "position=alibi", "qk_norm=true", "kv_heads=null", "dropout=0.1"]
    assert read_settings(texts) == {
        "layers": 4,
        "position": "alibi",
        "qk_norm": True,
        "kv_heads": None,
        "dropout": 0.1,
    }
    with pytest.raises(UsageError, match="--set layers: give it as key=value"):
        read_settings(["layers"])
    with pytest.raises(UsageError, match="--set layers is given twice"):
        read_settings(["layers=1", "layers=2"])


def test_the_model_has_the_sizes_of_the_preset_and_room_for_the_data(
    tiny_build_arrow: Path,
) -> None:
    build = str(tiny_build_arrow)
    given = ["train", build, "--output", "r", "--preset", "79m", "--compute", "bfloat16"]
    model = choose_model(parser().parse_args([*given, "--set", "layers=3"]), build)
    assert (model.layers, model.width, model.compute) == (3, PRESETS["79m"].model.width, "bfloat16")
    assert (model.vocabulary, model.length) == (33_027, 96)
    default = choose_model(parser().parse_args(given[:4]), build)
    assert default.width == PRESETS["tiny"].model.width


def test_trains_and_says_so(
    tiny_build_arrow: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    command = ["train", str(tiny_build_arrow), "--output", str(run), "--steps", "2", "--batch", "4"]
    command += ["--set", "width=16", "--set", "layers=1", "--set", "hidden=16", "--log-every", "1"]
    command += ["--set", "patch_channels=4", "--set", "patch_groups=2", "--validation-batches", "1"]
    assert cli.main(command) == 0
    shown = capsys.readouterr()
    assert "step 2/2, validation loss 10." in shown.err
    assert shown.out.startswith("2 steps, loss 10.")
    assert f"at step 2: {run}\n" in shown.out
    assert cli.main([*command, "--quiet"]) == 0
    assert capsys.readouterr().out == f"{run}: all 2 steps are trained already.\n"
    assert cli.main([*command, "--rate", "1"]) == 2
    assert "training.rate is 0.003, not 1.0" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "huge"], "There is no preset 'huge'"),
        (["--set", "depth=3"], "'depth' is no field"),
        (["--rate", "-1"], "rate is -1.0"),
        (["--init", "nowhere"], "nowhere: no run.json"),
    ],
)
def test_wrong_usage(
    options: list[str],
    message: str,
    tiny_build_arrow: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command = ["train", str(tiny_build_arrow), "--output", str(tmp_path / "run"), *options]
    assert cli.main(command) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
