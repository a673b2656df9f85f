"""What workers are made of: the wheel, and the image that has it."""

import configparser
import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from tests.dataflow.builds import build_elsewhere, small_job
from tests.dataflow.test_workers import HEAVY

ROOT = Path(__file__).parents[2]
# What the code reads beside itself, and where a wheel has it.
DATA = {
    "gato_data/tokenizers/companding.txt",
    "gato_data/readers/decoder_check.json",
    *(
        f"gato_data/schemas/{x.relative_to(ROOT / 'schemas')}"
        for x in ROOT.glob("schemas/**/*.json")
    ),
}
NEEDED = tomllib.loads((ROOT / "pyproject.toml").read_text())


def _setuptools() -> tuple[int, ...]:
    try:
        return tuple(map(int, importlib.metadata.version("setuptools").split(".")[:2]))
    except importlib.metadata.PackageNotFoundError:
        return (0,)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy, so that nothing is written into the checkout."""
    if _setuptools() < (77,):
        pytest.skip("building a wheel without network needs setuptools 77 or later")
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("gato_data", "pipelines", "schemas"):
        ignored = shutil.ignore_patterns("__pycache__", "schemas" if name == "gato_data" else "")
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--disable-pip-version-check"]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, "--wheel-dir", folder, folder / "source"],
        check=True,
    )
    (found,) = folder.glob("*.whl")
    return found


def test_the_wheel_has_every_module_and_what_they_read(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        names = {name for name in opened.namelist() if ".dist-info/" not in name}
    modules = {
        str(path.relative_to(ROOT))
        for folder in ("gato_data", "pipelines")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert {"pipelines/build_sequences.py", "gato_data/building/unit.py"} < modules
    assert len(DATA) == 2 + len(list(ROOT.glob("schemas/**/*.json"))) >= 10
    assert names == modules | DATA


def test_the_wheel_has_the_command_and_the_extra_of_workers(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as opened:
        (info,) = {name.split("/")[0] for name in opened.namelist() if ".dist-info/" in name}
        points = configparser.ConfigParser()
        points.read_string(opened.read(f"{info}/entry_points.txt").decode())
        metadata = opened.read(f"{info}/METADATA").decode()
    assert dict(points["console_scripts"]) == {"gato-data": "pipelines.cli:main"}
    assert "Provides-Extra: dataflow" in metadata
    assert "Requires-Python: <3.13,>=3.11" in metadata


def test_the_image_is_that_of_the_pinned_beam() -> None:
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    (base,) = (line for line in lines if line.startswith("FROM "))
    version = re.fullmatch(r"FROM apache/beam_python(3\.\d+)_sdk:([\d.]+)", base)
    assert version is not None
    pins = (ROOT / "constraints.txt").read_text().splitlines()
    assert f"apache-beam=={version[2]}" in pins
    assert version[2] == importlib.metadata.version("apache-beam")
    # Graphs hold code of Beam's own as bytecode, so command and workers run the same Python.
    assert version[1] == "3.11"
    assert NEEDED["project"]["requires-python"].startswith(f">={version[1]},")


def test_the_image_copies_what_the_context_has() -> None:
    allowed = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in allowed if line and not line.startswith("#")]
    assert rules == ["*", "!constraints.txt", "!dist/gato_data-*.whl"]
    copied = re.findall(r"^COPY (.+) \S+$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert [name for line in copied for name in line.split()] == [x[1:] for x in rules[1:]]


def test_the_extra_of_workers_has_no_tensorflow() -> None:
    extras = NEEDED["project"]["optional-dependencies"]
    wanted, found = ["dataflow"], set()
    while wanted:
        for requirement in extras[wanted.pop()]:
            inner = re.fullmatch(r"gato-data\[(.*)\]", requirement)
            wanted += inner[1].split(",") if inner else []
            found.add(requirement)
    names = {re.split(r"[\[<>=]", requirement)[0] for requirement in found}
    assert names == {"gato-data", "apache-beam", "gcsfs", "h5py", "pillow", "rlds", "simplejpeg"}


@pytest.mark.slow
def test_workers_of_the_installed_wheel_make_a_build(
    wheel: Path, tiny_input: Path, tmp_path: Path
) -> None:
    """As the Dockerfile does it, in an environment that has nothing else."""
    folder = tmp_path / "environment"
    venv.create(folder, with_pip=True)
    python = folder / "bin/python"
    done = subprocess.run(
        [
            *(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"),
            *("--constraint", ROOT / "constraints.txt", f"{wheel}[dataflow]"),
        ],
        capture_output=True,
        text=True,
    )
    if "Failed to establish a new connection" in done.stderr or "No matching" in done.stderr:
        pytest.skip("no package index can be reached from here")
    assert done.returncode == 0, done.stderr
    subprocess.run([python, "-m", "pip", "check"], check=True)
    assert not list(folder.glob("lib/*/site-packages/tensorflow"))
    job = small_job(tiny_input, tmp_path)
    index, units = build_elsewhere(python, job, tmp_path)
    assert index["steps"] == [{"listed": 5, "done": 5}]
    built, checked, sampled = units["steps"]
    assert built["listed"] == built["done"] > 3
    assert (checked["done"], sampled["done"]) == (0, 3)
    assert {name.partition(".")[0] for name in units["modules"]} & HEAVY == set()
