"""The front door: exit statuses, help, and errors of one paragraph."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import cli

VERBS = ("record", "describe", "vocab", "plan", "build", "verify", "inspect", "train", "evaluate")


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([verb, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert f"Example: gato-data {verb}" in " ".join(out.split())


def test_unknown_options_are_wrong_usage_unless_beam_takes_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["verify", "out", "--runner=DirectRunner"])
    assert stop.value.code == 2
    assert "--runner=DirectRunner" in capsys.readouterr().err


def test_a_beam_option_without_equals_sign_is_explained(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["build", "c.yaml", "--output", "o", "--runner", "DirectRunner"])
    assert stop.value.code == 2
    assert "--name=value" in capsys.readouterr().err


def test_missing_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "none.yaml"
    assert cli.main(["build", str(path), "--output", str(tmp_path / "out")]) == 2
    errors = capsys.readouterr().err
    assert errors.startswith("gato-data: ")
    assert str(path) in errors
    assert errors.count("\n") == 1


def test_debug_shows_the_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["build", str(tmp_path / "none.yaml"), "--output", str(tmp_path), "--debug"]
    assert cli.main(arguments) == 2
    assert "Traceback" in capsys.readouterr().err


def test_record_without_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["record", "--output", "somewhere"]) == 2
    assert "--list" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["-0.1", "1.5", "much"])
def test_noise_is_a_probability(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["record", "x/y", "--output", "o", f"--noise={value}"])
    assert stop.value.code == 2
    assert "--noise" in capsys.readouterr().err


def test_help_imports_no_library_that_a_verb_needs() -> None:
    code = (
        "import sys\n"
        "from pipelines import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "bad = {'tensorflow', 'apache_beam', 'keras', 'jax', 'torch', 'gymnasium', 'grain'}\n"
        "assert not bad & set(sys.modules), bad & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_the_module_runs_the_same_job(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pipelines.build_sequences", str(tmp_path / "none.yaml")]
    done = subprocess.run(
        [*command, "--output", str(tmp_path / "out")], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert str(tmp_path / "none.yaml") in done.stderr
    assert "Traceback" not in done.stderr


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    """What a base install says: the package that is missing, and the extra that brings it."""
    (tmp_path / "c.yaml").write_text("datasets: [{name: a, kind: rlds, path: x}]\n")
    code = (
        "import sys\n"
        "sys.modules['apache_beam'] = None\n"
        "from pipelines import cli\n"
        f"sys.exit(cli.main(['build', r'{tmp_path}/c.yaml', '--output', r'{tmp_path}/out']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 2
    assert "apache_beam" in done.stderr
    assert "gato-data[build]" in done.stderr
    assert "Traceback" not in done.stderr


def test_describe_replaces_a_config_only_when_told_to(
    tiny_input: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("# changed by hand\n")
    words = ["describe", str(tiny_input / "1.0.0"), "--output", str(config)]
    assert cli.main(words) == 2
    assert "replace it with --force" in capsys.readouterr().err
    assert config.read_text() == "# changed by hand\n"
    assert cli.main([*words, "--force"]) == 0
    assert "kind: rlds" in config.read_text()


@pytest.mark.parametrize("count", ["0", "-1", "x", "1.5", "9" * 30])
def test_counts_are_numbers_from_1_on(count: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["describe", "data", "--episodes", count])
    assert stopped.value.code == 2
    error = capsys.readouterr().err
    assert "no number from 1 on" in error or "expected one argument" in error
