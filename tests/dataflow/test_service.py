"""The whole command with Beam's own Dataflow runner, against a stand-in for the service."""

from pathlib import Path

import pytest

from gato_data.errors import UsageError
from pipelines import dataflow
from pipelines.build_sequences import build
from tests.building.builds import file_bytes
from tests.dataflow.builds import small_job
from tests.dataflow.jobs import IMAGE
from tests.dataflow.service import Service, serving

pytest.importorskip(
    "google.cloud.dataflow", reason="Beam's Dataflow runner needs google-cloud-dataflow-client"
)
pytest.importorskip("google.cloud.storage", reason="and google-cloud-storage")


def options(service: Service, folder: Path) -> list[str]:
    (folder / "staged").mkdir(exist_ok=True)
    return [
        "--runner=DataflowRunner",
        "--project=my-project",
        "--region=us-central1",
        f"--temp_location={folder}/staged",
        f"--sdk_container_image={IMAGE}",
        f"--dataflow_endpoint={service.endpoint}",
        "--no_auth",
        "--job_name=small",
    ]


@pytest.fixture(autouse=True)
def reachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """These workers do reach this machine."""
    monkeypatch.setattr(dataflow, "_check_place", lambda *_: None)


def test_a_build_is_an_index_job_and_a_build_job(tiny_input: Path, tmp_path: Path) -> None:
    job = small_job(tiny_input, tmp_path)
    with serving() as service:
        build(job, options(service, tmp_path))
        jobs = [{"List files", "Index file"}, {"List units", "Build unit"}]
        assert service.steps == jobs
        # A build that is complete is checked, by a third job.
        build(job, options(service, tmp_path))
        assert service.steps == [*jobs, {"Count units", "Check unit"}]
    here = type(job)(job.config, job.folder, str(tmp_path / "here"))
    build(here, workers=1)
    assert file_bytes(Path(job.output)) == file_bytes(tmp_path / "here")


def test_the_message_of_a_worker_comes_through(tiny_input: Path, tmp_path: Path) -> None:
    """What fails on a worker is one paragraph here, of the same kind of error."""
    job = small_job(tiny_input, tmp_path)
    with serving() as service:
        build(job, options(service, tmp_path))
        for path in Path(job.output, "_units").iterdir():
            path.unlink()
        Path(job.output, "manifest.json").unlink()
        # As with an image of other versions.
        plan = Path(job.output, "plan/plan.json")
        plan.write_text(plan.read_text().replace('"numpy": "', '"numpy": "9.'))
        with pytest.raises(UsageError, match=r"instead of 9\.") as caught:
            build(job, options(service, tmp_path))
    assert "Traceback" not in str(caught.value)
