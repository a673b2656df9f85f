"""What a job on Google Cloud Dataflow needs: checked before anything starts there.

Workers start minutes after the command and cost money from then on, so whatever can be known to
fail is refused here.
"""

import importlib.util
from collections.abc import Callable, Mapping, Sequence

from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    SetupOptions,
    StandardOptions,
    TestOptions,
    WorkerOptions,
)

from gato_data.building.context import Job
from gato_data.config import resolve
from gato_data.errors import UsageError
from gato_data.storage import files

DOCUMENTATION = "docs/dataflow.md"
# Each thread of a worker holds the tokens and patches of a unit, and Python runs one at a time:
# more than one a process, of which there is one a core, would cost memory and win nothing.
THREADS = 1

_REQUIRED = {
    "project": "the Google Cloud project that is billed, such as --project=my-project",
    "region": "where the workers run, such as --region=us-central1; best that of the buckets",
    "temp_location": "a folder in a bucket, such as --temp_location=gs://my-bucket/temp",
}
_LOCAL_SCHEMES = ("file://", "local://", "memory://")


def is_dataflow(arguments: Sequence[str]) -> bool:
    """Whether the options for Beam choose Dataflow, under any of the names that Beam knows."""
    runner = PipelineOptions(list(arguments)).view_as(StandardOptions).runner or ""
    return runner.rpartition(".")[2].lower() in ("dataflow", "dataflowrunner")


def prepare(arguments: Sequence[str], places: Callable[[], Mapping[str, str]]) -> Sequence[str]:
    """The options for Beam, with ours for Dataflow; unchanged for another runner.

    Args:
      arguments: the options for Beam.
      places: gives what workers read and write, by what messages call it.

    Raises:
      UsageError: says what a job on Dataflow lacks.
    """
    if not is_dataflow(arguments):
        return arguments
    given = PipelineOptions(list(arguments))
    _check_library()
    _check_options(given)
    for what, place in places().items():
        _check_place(what, place)
    if given.view_as(DebugOptions).number_of_worker_harness_threads is None:
        return [*arguments, f"--number_of_worker_harness_threads={THREADS}"]
    return arguments


def places_of(job: Job) -> dict[str, str]:
    """What the workers of a build read and write, by what messages call it.

    Raises:
      UsageError: see `inputs_of`.
    """
    found = {"--output": job.output} | inputs_of(job)
    return found | {"vocabulary.text_model": job.model_path} if job.model_path else found


def inputs_of(job: Job) -> dict[str, str]:
    """Where the data sets of a config lie.

    Raises:
      UsageError: one is named by `tfds`, which each machine looks up for itself.
    """
    found = {}
    for dataset in job.config.datasets:
        where = f"data set '{dataset.name}'"
        if dataset.path is None:
            raise UsageError(
                f"{where}: `tfds: {dataset.tfds}` is looked up in a folder of each machine, and "
                "workers of Dataflow have none. Copy what TFDS prepared to a bucket, and give its "
                "address as `path`."
            )
        found[where] = resolve(job.folder, dataset.path)
    return found


def _check_library() -> None:
    try:
        is_there = importlib.util.find_spec("google.cloud.dataflow") is not None
    except ModuleNotFoundError:
        is_there = False
    if not is_there:
        raise UsageError(
            "--runner=DataflowRunner needs Beam's packages for Google Cloud: "
            "pip install 'gato-data[dataflow]'."
        )


def _check_options(given: PipelineOptions) -> None:
    cloud, worker = given.view_as(GoogleCloudOptions), given.view_as(WorkerOptions)
    for name, meaning in _REQUIRED.items():
        if not getattr(cloud, name):
            raise UsageError(f"--runner=DataflowRunner needs --{name}: {meaning}.")
    if cloud.template_location or given.view_as(TestOptions).dry_run:
        raise UsageError(
            "--template_location and --dry_run only describe a job, but here each step needs what "
            "the one before it wrote. Leave them out; `gato-data plan` shows what a build would "
            "cost."
        )
    setup = given.view_as(SetupOptions)
    packages = (setup.extra_packages, setup.requirements_file, setup.setup_file)
    if not worker.sdk_container_image and not any(packages):
        raise UsageError(
            "--runner=DataflowRunner needs --sdk_container_image: without an image that has "
            f"gato-data, no worker can load the job. {DOCUMENTATION} says how to make one from "
            "the Dockerfile."
        )


def _check_place(what: str, place: str) -> None:
    if not files.is_remote(place) or place.startswith(_LOCAL_SCHEMES):
        raise UsageError(
            f"{what}: {place} lies on this machine, which workers of Dataflow cannot reach. Give "
            "an address in a bucket, such as gs://my-bucket/data."
        )
