"""Prism, Beam's engine for one machine, by Go's ordinary client."""

import os
import shutil
import subprocess
from pathlib import Path

from apache_beam.version import __version__

_FOLDER = Path(__file__).parents[2] / f".cache/prism-{__version__}"
PRISM = _FOLDER / "prism"


def why_not() -> str | None:
    """Brings `PRISM` here; says why that is not possible."""
    if PRISM.exists():
        return None
    if shutil.which("go") is None:
        return "there is no go on this machine"
    found = subprocess.run(
        ["go", "install", f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{__version__}"],
        env={**os.environ, "GOBIN": str(_FOLDER)},
        capture_output=True,
        text=True,
    )
    return f"Go could not install it: {found.stderr.strip()[-300:]}" if found.returncode else None
