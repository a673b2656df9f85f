"""The planner at the scale of the paper's Table 1: time, memory and sizes, by its own functions.

    python -m benchmarks.scale [--fraction 0.01] [--only NAME …] [--table configs/gato_table1.yaml]

Writes an index of so many episodes as the paper had (see `scale_data`), takes it up as
`gato-data build` does, plans, and looks at what was planned. Each phase runs in a process of its
own, whose peak memory is that of the phase.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks import scale_data
from gato_data.building.context import Job
from gato_data.building.index import IndexedFile
from gato_data.building.steps import open_datasets, plan
from gato_data.config import load_config
from gato_data.storage import files

TABLE = str(Path(__file__).parents[1] / "configs/gato_table1.yaml")
# Of the paper's build; each has a sidecar.
SIDECARS = 1_000_000
_SUMMARIES = "summaries.json"


def job_of(folder: Path) -> Job:
    return Job(load_config(str(folder / "scale.yaml")), str(folder), str(folder / "out"))


def write(folder: Path, table: str, fraction: float, only: list[str]) -> dict[str, Any]:
    """Writes the inputs and their index."""
    wanted = [x for x in scale_data.shapes(table, fraction) if not only or x.name in only]
    scale_data.write_inputs(folder, wanted)
    found = scale_data.write_index(job_of(folder), wanted)
    held = {name: [vars(file) for file in found[name]] for name in found}
    (folder / _SUMMARIES).write_text(json.dumps(held))
    return {
        "episodes": sum(shape.episodes for shape in wanted),
        "input_files": sum(shape.files for shape in wanted),
        "index_bytes": _bytes_below(folder / "out" / "index"),
    }


def make_plan(folder: Path) -> dict[str, Any]:
    """What `gato-data build` does after the index."""
    job = job_of(folder)
    held = json.loads((folder / _SUMMARIES).read_text())
    indexed = {name: [IndexedFile(**file) for file in found] for name, found in held.items()}
    contexts = open_datasets(job)
    began, busy = time.perf_counter(), time.process_time()
    made = plan(job, contexts, indexed)
    return {
        "plan_seconds": time.perf_counter() - began,
        "plan_cpu_seconds": time.process_time() - busy,
        "units": made.units,
        "sequences": made.sequences,
        "tokens": made.tokens,
        "output_bytes": made.output_bytes,
        "cpu_hours": made.cpu_seconds / 3600,
        "plan_bytes": _bytes_below(folder / "out" / "plan"),
        "plan_json_bytes": (folder / "out" / "plan" / "plan.json").stat().st_size,
    }


def look_at_units(folder: Path) -> dict[str, Any]:
    """What workers will read: rows of a unit, and what its donors add."""
    sums = [_unit(table) for table in _unit_tables(folder / "out")]
    columns = {name: np.array([unit[name] for unit in sums]) for name in sums[0]}
    found: dict[str, Any] = {}
    for name, values in columns.items():
        found[name] = {"mean": float(values.mean()), "max": int(values.max())}
    return {"of_a_unit": found}


def _unit_tables(output: Path) -> Iterator[Any]:
    for path in sorted((output / "plan").glob("units-*.parquet")):
        parquet = pq.ParquetFile(path)
        for group in range(parquet.num_row_groups):
            yield parquet.read_row_group(group, columns=["file", "size", "donors"])


def _unit(table: Any) -> dict[str, int]:
    """Sums over a unit. Of its donors the first is read, the others only if that is unusable."""
    first = pc.list_element(
        table.filter(pc.greater(pc.list_value_length(table["donors"]), 0))["donors"], 0
    )
    lent = first.combine_chunks()
    donor_files = lent.field("file") if len(lent) else []
    return {
        "rows": len(table),
        "bytes": pc.sum(table["size"]).as_py(),
        "files": len(pc.unique(table["file"])),
        "donors": len(lent),
        "donor_bytes": (pc.sum(lent.field("size")).as_py() or 0) if len(lent) else 0,
        "donor_files": len(pc.unique(donor_files)) if len(lent) else 0,
        "donor_tokens": (pc.sum(lent.field("tokens")).as_py() or 0) if len(lent) else 0,
    }


def list_sidecars(folder: Path, count: int) -> dict[str, Any]:
    """How long one look at the progress takes: a listing of the sidecars."""
    units = folder / "out" / "_units"
    units.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (units / f"{number}.json").touch()
    began = time.perf_counter()
    found = files.list_names(str(units), "[0-9]*.json")
    seconds = time.perf_counter() - began
    assert len(found) == count
    return {"sidecars": count, "listing_seconds": seconds}


def _bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def run_phase(phase: str, *arguments: str) -> dict[str, Any]:
    """A phase in a process of its own; adds its seconds and its peak memory."""
    began = time.monotonic()
    command = [sys.executable, "-m", "benchmarks.scale", "--phase", phase, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found | {f"{phase}_wall_seconds": time.monotonic() - began}


PHASES = ("write", "plan", "units", "listing")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fraction", type=float, default=0.01, help="of the episodes (0.01)")
    parser.add_argument("--only", nargs="*", default=[], help="data sets; all by default")
    parser.add_argument("--table", default=TABLE, help="the config that says the sizes")
    parser.add_argument("--folder", help="for the files (a temporary one)")
    parser.add_argument("--sidecars", type=int, default=SIDECARS)
    parser.add_argument("--phase", choices=PHASES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.phase:
        folder = Path(asked.folder)
        work = {
            "write": lambda: write(folder, asked.table, asked.fraction, asked.only),
            "plan": lambda: make_plan(folder),
            "units": lambda: look_at_units(folder),
            "listing": lambda: list_sidecars(folder, asked.sidecars),
        }[asked.phase]
        found = work()
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(json.dumps(found | {f"{asked.phase}_peak_bytes": peak}))
        return
    with tempfile.TemporaryDirectory(dir=asked.folder) as folder_name:
        arguments = ["--folder", folder_name, "--table", asked.table]
        arguments += ["--fraction", str(asked.fraction), "--sidecars", str(asked.sidecars)]
        arguments += ["--only", *asked.only]
        for phase in PHASES:
            found = run_phase(phase, *arguments)
            print(json.dumps(found, indent=1), flush=True)


if __name__ == "__main__":
    main()
