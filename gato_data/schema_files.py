"""Finds the machine-readable contracts of `schemas/`, in an installed package and in a checkout."""

import json
from pathlib import Path
from typing import Any

from gato_data.errors import GatoDataError

_PACKAGE = Path(__file__).parent
# A wheel carries the folder inside the package; a checkout has it at its root.
_FOLDERS = (_PACKAGE / "schemas", _PACKAGE.parent / "schemas")


def read_schema(name: str) -> dict[str, Any]:
    """The JSON file `name` of `schemas/`, such as `config.schema.json`.

    Raises:
      GatoDataError: the installation does not have it.
    """
    for folder in _FOLDERS:
        path = folder / name
        if path.is_file():
            schema: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            return schema
    raise GatoDataError(
        f"{name} is neither in {_FOLDERS[0]} nor in {_FOLDERS[1]}: the installation is "
        "incomplete. Install gato-data again."
    )
