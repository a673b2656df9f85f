"""A training that is killed and started again ends with the bits of one that was not."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from tests.transformer.training.small_runs import arrays_of, checkpoint

# Each in its order: where a process is killed, and the checkpoints that it leaves.
POINTS = [
    ("before run.json", []),
    ("before step-00000003.npz", []),
    ("after step-00000003.npz", [3]),
    ("enter 5", [3]),
    ("before best.json", [3]),
    ("enter 7", [3, 6]),
    ("remove step-00000003.npz", [3, 6, 7]),
    ("never", [6, 7]),
]


def test_killed_at_every_kind_of_point(
    unbroken: Path, tiny_build_arrow: Path, compiled: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    found = subprocess.run(
        [
            *(sys.executable, "-m", "tests.transformer.training.small_runs"),
            *(str(tiny_build_arrow), str(run), *(point for point, _ in POINTS)),
        ],
        env=os.environ
        | {
            "JAX_COMPILATION_CACHE_DIR": str(compiled),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        },
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    expected = [
        [point, 0 if point == "never" else -signal.SIGKILL, [checkpoint(run, x).name for x in left]]
        for point, left in POINTS
    ]
    assert json.loads(found.stdout.splitlines()[-1]) == expected, found.stderr
    same, other = arrays_of(checkpoint(run, 7)), arrays_of(checkpoint(unbroken, 7))
    assert same.keys() == other.keys()
    for name, value in other.items():
        assert same[name].tobytes() == value.tobytes(), name
    for folder in (run, unbroken):
        names = {path.name for path in (folder / "checkpoints").iterdir()}
        assert names == {"best.json", checkpoint(run, 6).name, checkpoint(run, 7).name}
    best = "checkpoints/best.json"
    assert (run / best).read_text() == (unbroken / best).read_text()
