"""The description of a job as Beam's own Dataflow runner writes it, without network or account.

`--template_location` makes the runner stage what the workers need, describe the job and write it to
a file instead of sending it. Staging goes to a local folder here; nothing else is different.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from apache_beam.portability.api import beam_runner_api_pb2 as api

from pipelines import dataflow, runner
from tests.dataflow.jobs import IMAGE, NAMES, cloud_job, constructs, functions_of

pytest.importorskip(
    "google.cloud.dataflow", reason="Beam's Dataflow runner needs google-cloud-dataflow-client"
)
pytest.importorskip("google.cloud.storage", reason="and google-cloud-storage")

ARGUMENTS = [
    "--runner=DataflowRunner",
    "--project=my-project",
    "--region=us-central1",
    f"--sdk_container_image={IMAGE}",
    "--sdk_location=container",
    "--machine_type=n2-standard-4",
    "--max_num_workers=100",
    "--disk_size_gb=50",
    "--job_name=gato-data-build",
]


@pytest.fixture(scope="module", params=NAMES)
def described(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The name of a job, its description, and the folder that was staged."""
    folder = tmp_path_factory.mktemp(request.param)
    template = folder / "template.json"
    (folder / "staged").mkdir()
    given = dataflow.prepare([*ARGUMENTS, "--temp_location=gs://bucket/temp"], dict)
    # The last of equal options counts.
    offline = [
        f"--temp_location={folder}/staged",
        f"--staging_location={folder}/staged",
        f"--template_location={template}",
        "--no_auth",
        "--dataflow_endpoint=http://localhost:1",
    ]
    construct = constructs(cloud_job(folder))[request.param]
    runner.run([*given, *offline], 1, construct)
    assert template.stat().st_size < 50_000
    return request.param, json.loads(template.read_text()), folder / "staged"


def staged_graph(folder: Path) -> tuple[api.Pipeline, bytes]:
    data = (folder / "pipeline.pb").read_bytes()
    return api.Pipeline.FromString(data), data


def test_workers_are_as_asked(described: Any) -> None:
    _, job, _ = described
    assert (job["name"], job["type"]) == ("gato-data-build", "JOB_TYPE_BATCH")
    environment = job["environment"]
    assert environment["version"] == {"job_type": "FNAPI_BATCH", "major": "8"}
    (pool,) = environment["workerPools"]
    assert pool["machineType"] == "n2-standard-4"
    assert pool["diskSizeGb"] == 50
    assert pool["autoscalingSettings"]["maxNumWorkers"] == 100
    # A unit at a time in each process, and a process a core.
    assert pool["numThreadsPerWorker"] == dataflow.THREADS == 1
    (image,) = pool["sdkHarnessContainerImages"]
    assert image["containerImage"] == pool["workerHarnessContainerImage"] == IMAGE
    assert image["useSingleCorePerContainer"] is True
    assert set(environment["experiments"]) == {
        "beam_fn_api",
        "use_unified_worker",
        "use_runner_v2",
        "use_portable_job_submission",
        "use_multiple_sdk_containers",
    }


def test_nothing_is_staged_but_the_graph_and_a_list_of_versions(described: Any) -> None:
    """No source, no package: all code is in the image."""
    _, job, folder = described
    versions = "submission_environment_dependencies.txt"
    assert sorted(path.name for path in folder.iterdir()) == ["pipeline.pb", versions]
    (pool,) = job["environment"]["workerPools"]
    assert [package["name"] for package in pool["packages"]] == [versions]
    graph, _ = staged_graph(folder)
    (environment,) = graph.components.environments.values()
    assert len(environment.dependencies) == 1


def test_the_staged_graph_has_our_functions_and_the_image(described: Any) -> None:
    name, job, folder = described
    graph, data = staged_graph(folder)
    assert len(data) < 30_000
    options = job["environment"]["sdkPipelineOptions"]["options"]
    assert options["pipelineProtoHash"] == hashlib.sha256(data).hexdigest()
    assert options["pipelineUrl"] == f"{folder}/pipeline.pb"
    assert options["pickle_library"] == "cloudpickle"
    assert options["save_main_session"] is False
    (environment,) = graph.components.environments.values()
    payload = api.DockerPayload.FromString(environment.payload)
    assert payload.container_image == IMAGE
    assert f"beam:version:sdk_base:apache/beam_python3.11_sdk:{_beam()}" in (
        environment.capabilities
    )
    ours = [step for step in functions_of(graph) if not step.startswith("Spread")]
    assert (
        sorted(ours)
        == {
            "index": ["Index file", "List files"],
            "build": ["Build unit", "List units"],
            "check": ["Check unit", "Count units"],
            "vocabulary": ["List files", "Sample file"],
        }[name]
    )


def _beam() -> str:
    lines = (Path(__file__).parents[2] / "constraints.txt").read_text().splitlines()
    (pin,) = (line for line in lines if line.startswith("apache-beam=="))
    return pin.removeprefix("apache-beam==")
