"""A real cluster of Flink: the same bytes. `make test-flink` brings it, and says what it made."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import flink
from tests.engines.runs import build, check_paragraph, check_same, content, worker_pool

pytestmark = pytest.mark.slow

# Without it, Flink would use one of the two task managers.
PARALLEL = f"--parallelism={flink.TASK_MANAGERS}"


@pytest.fixture(scope="module")
def cluster() -> Iterator[flink.Cluster]:
    reason = flink.why_not()
    if reason is not None:
        pytest.skip(f"Flink cannot be had: {reason}")
    with flink.running() as found:
        yield found


def portable(cluster: flink.Cluster) -> tuple[str, ...]:
    return ("--runner=PortableRunner", f"--job_endpoint={cluster.jobs}", PARALLEL)


def test_episodes_and_documents(
    config: Path, built: Path, tmp_path: Path, cluster: flink.Cluster
) -> None:
    run = build(config, tmp_path / "out", *portable(cluster), "--environment_type=LOOPBACK")
    check_same(run, tmp_path / "out", built)
    hosts = cluster.hosts_of_tasks()
    assert [len(found) for found in hosts] == [flink.TASK_MANAGERS] * 2


def test_an_error_of_a_worker_is_one_paragraph(
    config: Path, unreadable: Path, cluster: flink.Cluster
) -> None:
    run = build(config, unreadable, *portable(cluster), "--environment_type=LOOPBACK")
    check_paragraph(run, unreadable)


def test_options_of_the_job_server(config: Path, tmp_path: Path, cluster: flink.Cluster) -> None:
    loopback = (*portable(cluster), "--environment_type=LOOPBACK")
    run = build(config, tmp_path / "out", *loopback, "--max_bundle_sizes=1")
    assert run.status == 2
    assert "--max_bundle_sizes is no option" in run.errors
    assert "Did you mean --max_bundle_size?" in run.errors
    run = build(config, tmp_path / "out", *loopback, "--max_bundle_size=1", "--limit=2")
    assert (run.status, run.errors) == (0, "")


def test_the_demo(demo: Path, built_demo: Path, tmp_path: Path, cluster: flink.Cluster) -> None:
    """By Beam's own runner for Flink, which starts the job server, with workers in processes."""
    server = (
        "--runner=FlinkRunner",
        f"--flink_master={cluster.rest}",
        f"--flink_job_server_jar={flink.job_server_jar()}",
    )
    with worker_pool() as pool:
        workers = ("--environment_type=EXTERNAL", f"--environment_config={pool}")
        run = build(demo, tmp_path / "out", *server, PARALLEL, *workers)
    check_same(run, tmp_path / "out", built_demo)
    assert len(cluster.hosts_of_tasks()[-1]) == flink.TASK_MANAGERS
    print(f"the demo on Flink: {content(tmp_path / 'out')} in {run.seconds:.0f} s")
