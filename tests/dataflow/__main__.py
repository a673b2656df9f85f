"""Writes the golden job graphs anew, where a change is meant: `python -m tests.dataflow`."""

import tempfile
from pathlib import Path

from tests.dataflow.jobs import GOLDEN, cloud_job, constructs, dot_of, graph_of


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, construct in constructs(cloud_job(Path(folder))).items():
            (GOLDEN / f"{name}.dot").write_text(dot_of(graph_of(construct)))


if __name__ == "__main__":
    main()
