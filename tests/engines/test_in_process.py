"""The engines that are part of Beam for Python: the same bytes, and errors that people can read."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from gato_data.errors import UsageError
from tests.building import builds
from tests.building.builds import file_bytes
from tests.engines.runs import build, check_paragraph, check_same, environment, gato_data

EMBEDDED = ("--runner=PortableRunner", "--job_endpoint=embed", "--environment_type=LOOPBACK")
THREADS = ("--direct_running_mode=multi_threading", "--direct_num_workers=2")
PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")


def test_the_build_has_several_units_of_both_kinds(built: Path) -> None:
    names = [path.name for path in builds.shard_paths(built)]
    assert sum(name.startswith("toy-") for name in names) >= 3
    assert sum(name.startswith("text-") for name in names) >= 2


@pytest.mark.parametrize("beam", [EMBEDDED, THREADS], ids=["embedded job service", "threads"])
def test_engines_change_nothing(
    config: Path, built: Path, tmp_path: Path, beam: tuple[str, ...]
) -> None:
    check_same(build(config, tmp_path / "out", *beam), tmp_path / "out", built)


def test_worker_processes_of_beam_change_nothing(config: Path, built: Path, tmp_path: Path) -> None:
    """Which note on the screen what they do; and the module is the same as the command."""
    output = ("--output", tmp_path / "out", "--quiet")
    assert gato_data(config, *output, *PROCESSES, module="pipelines.build_sequences").status == 0
    assert file_bytes(tmp_path / "out") == file_bytes(built)


def test_direct_runner_builds_where_prism_cannot_be_had(
    config: Path, built: Path, tmp_path: Path
) -> None:
    """Beam tries Prism first, and goes on in its own process without it."""
    run = build(config, tmp_path / "out", "--runner=DirectRunner", "--prism_location=/no/such/file")
    check_same(run, tmp_path / "out", built)


@pytest.mark.parametrize("beam", [EMBEDDED, THREADS], ids=["embedded job service", "threads"])
def test_an_error_of_a_worker_is_one_paragraph(
    config: Path, unreadable: Path, beam: tuple[str, ...]
) -> None:
    check_paragraph(build(config, unreadable, *beam), unreadable)


def test_a_missing_data_set_is_one_paragraph(config: Path, tmp_path: Path) -> None:
    other = config.with_name("gone.yaml")
    other.write_text(config.read_text().replace("path: 1.0.0", "path: gone/1.0.0"))
    run = build(other, tmp_path / "out", *EMBEDDED)
    assert run.status == 2
    assert run.errors.startswith("gato-data: ")
    assert run.errors.count("\n") == 0
    assert str(config.parent / "gone/1.0.0") in run.errors


def test_a_vocabulary_is_trained_on_an_engine(config: Path, tmp_path: Path) -> None:
    for name, beam in (("here", ()), ("embedded", EMBEDDED)):
        output = ("--output", tmp_path / name, "--size", "300", "--quiet")
        run = gato_data(config, *output, *beam, module="pipelines.train_vocabulary")
        assert run.status == 0
    assert (tmp_path / "here").read_bytes() == (tmp_path / "embedded").read_bytes()


def test_a_job_service_in_another_process(config: Path, built: Path, tmp_path: Path) -> None:
    """Beam's own, which has a process for itself; workers are threads of ours."""
    module = "apache_beam.runners.portability.local_job_service_main"
    folders = [f"--port_file={tmp_path / 'port'}", f"--staging_dir={tmp_path / 'staged'}"]
    server = subprocess.Popen(
        [sys.executable, "-m", module, *folders],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        written = tmp_path / "port"
        while not written.exists() or not written.read_text():
            assert server.poll() is None
            time.sleep(0.1)
        port = written.read_text()
        beam = ("--runner=PortableRunner", f"--job_endpoint=localhost:{port}", EMBEDDED[2])
        builds.build(config, tmp_path / "out", *beam)
        assert file_bytes(tmp_path / "out") == file_bytes(built)
        with pytest.raises(UsageError, match="--max_bundle_sizes is no option"):
            builds.build(config, tmp_path / "other", *beam, "--max_bundle_sizes=1")
    finally:
        server.kill()
        server.wait()
