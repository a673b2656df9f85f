"""Options that engines cannot take, and engines that do not start: one paragraph, what to do."""

import socket
from pathlib import Path

import pytest

from gato_data.errors import UsageError
from pipelines import engines, runner

PORTABLE = "--runner=PortableRunner"


def refusal(*arguments: str) -> str:
    with pytest.raises(UsageError) as refused:
        engines.check(arguments)
    return str(refused.value)


def test_another_runner_that_looks_like_it_is_named() -> None:
    assert refusal("--runner=FlinkRuner") == (
        "--runner=FlinkRuner: Beam has no such runner. Did you mean --runner=FlinkRunner?"
    )
    assert "There are DataflowRunner," in refusal("--runner=x")


def test_a_value_that_an_option_cannot_have() -> None:
    said = refusal("--runner=FlinkRunner", "--flink_version=0.9")
    assert said.startswith("Options for Beam: argument --flink_version: invalid choice: '0.9'")
    assert "\n" not in said


@pytest.mark.parametrize(
    "runner_options",
    [
        (),
        ("--runner=DirectRunner",),
        ("--runner=PrismRunner",),
        (PORTABLE, "--job_endpoint=embed"),
        ("--runner=DataflowRunner",),
    ],
)
def test_an_unknown_option_is_refused_at_once(runner_options: tuple[str, ...]) -> None:
    said = refusal(*runner_options, "--paralelism=2")
    assert said == (
        "--paralelism is no option of this verb and none of Beam's. Did you mean --parallelism?"
    )


@pytest.mark.parametrize(
    "runner_options",
    [
        ("--runner=FlinkRunner",),
        ("--runner=SparkRunner",),
        (PORTABLE, "--job_endpoint=localhost:8099"),
    ],
)
def test_options_of_a_job_server_are_left_to_it(runner_options: tuple[str, ...]) -> None:
    engines.check([*runner_options, "--max_bundle_size=10"])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--environment_type=PROCESS", '--environment_config={"command": "/boot"}'],
        ["--environment_type=EXTERNAL", "--environment_config=localhost:50000"],
        ["--flink_master=localhost:8081", "--parallelism=2", "--flink_version=1.20"],
        ["--prism_location=/opt/prism", "--prism_log_level=warn"],
        ["--direct_running_mode=multi_threading", "--direct_num_workers=2"],
    ],
)
def test_options_of_engines_pass(arguments: list[str]) -> None:
    engines.check(arguments)
    kept = runner.options(["--runner=PrismRunner", *arguments], 1).get_all_options()
    for argument in arguments:
        name, _, value = argument.removeprefix("--").partition("=")
        assert str(kept[name]) == value


def advised(message: str) -> str:
    advice = engines.advice(RuntimeError(message), engines.parse([]))
    assert advice is not None
    return advice


def test_prism_that_cannot_be_downloaded() -> None:
    said = advised("Unable to fetch remote prism binary at https://x.zip: Name not known")
    assert "go install github.com/apache/beam/sdks/v2/go/cmd/prism@v2." in said
    assert "--prism_location=FILE" in said


def test_a_job_server_that_cannot_be_downloaded() -> None:
    assert "--flink_job_server_jar=FILE" in advised("Unable to fetch remote job server jar at x")


def test_no_java() -> None:
    error = FileNotFoundError(2, "No such file or directory", "java")
    assert "needs Java" in advised(str(error))


@pytest.mark.parametrize(
    "said",
    [
        "Command '['docker', 'run', '-d']' returned non-zero exit status 125.",
        "[Errno 2] No such file or directory: 'docker'",
        'java.io.IOException: Cannot run program "docker": error=2, No such file or directory',
    ],
)
def test_no_docker(said: str) -> None:
    assert "--environment_type=LOOPBACK" in advised(said)


def test_what_is_not_known_gets_no_advice() -> None:
    assert engines.advice(RuntimeError("a dock, java"), engines.parse([])) is None


def test_a_job_server_that_does_not_answer(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        endpoint = f"localhost:{taken.getsockname()[1]}"
        arguments = [PORTABLE, f"--job_endpoint={endpoint}", "--environment_type=LOOPBACK"]
        with pytest.raises(UsageError, match=f"No job server answers at --job_endpoint={endpoint}"):
            runner.run([*arguments, "--job_server_timeout=1"], 1, lambda pipeline: None)
