"""Builds the demo on every engine that can be had here, and prints the table of docs/engines.md.

python -m tests.engines
"""

import contextlib
import tempfile
from collections.abc import Generator
from pathlib import Path

from tests.building.builds import file_bytes
from tests.engines import flink, prism
from tests.engines.runs import build, content, record_demo, worker_pool

LOOPBACK = "--environment_type=LOOPBACK"
IN_PROCESS = {
    "in-process, one worker": ("--workers=1",),
    "in-process, two worker processes": ("--workers=2",),
    "in-process, two threads": (
        "--direct_running_mode=multi_threading",
        "--direct_num_workers=2",
    ),
    "in-process, two processes of Beam": (
        "--direct_running_mode=multi_processing",
        "--direct_num_workers=2",
    ),
    "DirectRunner without Prism": ("--runner=DirectRunner", "--prism_location=/no/such/file"),
    "embedded job service, LOOPBACK": (
        "--runner=PortableRunner",
        "--job_endpoint=embed",
        LOOPBACK,
    ),
}


def engines() -> Generator[tuple[str, tuple[str, ...]], None, None]:
    """What to call each engine, and the options that choose it; it runs until the next is asked."""
    yield from IN_PROCESS.items()
    if prism.why_not() is None:
        for name in ("PrismRunner", "DirectRunner"):
            yield (
                f"Prism, by {name}",
                (f"--runner={name}", f"--prism_location={prism.PRISM}"),
            )
    if flink.why_not() is None:
        with flink.running() as cluster:
            parallel = f"--parallelism={flink.TASK_MANAGERS}"
            server = ("--runner=PortableRunner", f"--job_endpoint={cluster.jobs}", parallel)
            yield "Flink, PortableRunner, LOOPBACK", (*server, LOOPBACK)
            with worker_pool() as pool:
                workers = ("--environment_type=EXTERNAL", f"--environment_config={pool}")
                jar = f"--flink_job_server_jar={flink.job_server_jar()}"
                master = f"--flink_master={cluster.rest}"
                own = ("--runner=FlinkRunner", master, jar, parallel)
                yield "Flink, FlinkRunner, EXTERNAL pool", (*own, *workers)


def main() -> None:
    first: dict[str, bytes] = {}
    print("| engine | content | bytes | seconds |\n| --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, contextlib.closing(engines()) as found:
        config = record_demo(Path(folder))
        for number, (name, options) in enumerate(found):
            output = Path(folder) / f"out{number}"
            run = build(config, output, *options)
            if run.status:
                print(f"| {name} | failed: {run.errors[-500:]} | | |", flush=True)
                continue
            made = file_bytes(output)
            first = first or made
            same = "the same" if made == first else "OTHER"
            print(f"| {name} | `{content(output)}` | {same} | {run.seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
