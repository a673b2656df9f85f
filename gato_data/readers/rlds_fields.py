"""The names of RLDS's step fields, as the `rlds` package defines them.

`import rlds` imports TensorFlow, which costs every worker seconds and hundreds of megabytes for
eight strings. So the constants are read from the source of the installed package: `find_spec` of
a top-level package does not run it.
"""

import ast
import importlib.util
from pathlib import Path

from gato_data.errors import UsageError

_NAMES = (
    "ACTION",
    "DISCOUNT",
    "IS_FIRST",
    "IS_LAST",
    "IS_TERMINAL",
    "OBSERVATION",
    "REWARD",
    "STEPS",
)


def _read_constants() -> dict[str, str]:
    spec = importlib.util.find_spec("rlds")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError("Reading RLDS needs the package rlds: pip install 'gato-data[build]'.")
    source = Path(spec.submodule_search_locations[0], "rlds_types.py").read_text()
    return {
        target.id: node.value.value
        for node in ast.parse(source).body
        if isinstance(node, ast.Assign)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in _NAMES
    }


_constants = _read_constants()
ACTION = _constants["ACTION"]
DISCOUNT = _constants["DISCOUNT"]
IS_FIRST = _constants["IS_FIRST"]
IS_LAST = _constants["IS_LAST"]
IS_TERMINAL = _constants["IS_TERMINAL"]
OBSERVATION = _constants["OBSERVATION"]
REWARD = _constants["REWARD"]
STEPS = _constants["STEPS"]


def step_path(field: str) -> str:
    """Path of a step field in the record, such as steps/is_last."""
    return f"{STEPS}/{field}"
