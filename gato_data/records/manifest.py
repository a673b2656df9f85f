"""`manifest.json` as a file: how it is encoded, read and held to its own checksum.

Readers of a finished build need this and nothing of what only a build needs.
"""

import json
from collections.abc import Mapping
from typing import Any

from gato_data.config_types import CORPUS_KINDS
from gato_data.errors import UsageError
from gato_data.records.schema import check_version
from gato_data.records.sealed import encode_sealed, seal
from gato_data.storage import files

MANIFEST = "manifest.json"
MODEL_FILE = "vocabulary.model"
SHARDS_FILE = "shards.parquet"
FILES_FILE = "files.parquet"
RUN_FILE = "run.json"


def seal_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """The manifest with a SHA-256 of everything else as its `checksum`."""
    return seal(manifest)


def encode_manifest(manifest: Mapping[str, Any]) -> bytes:
    """The bytes of the file, sealed, with sorted keys."""
    return encode_sealed(manifest)


def corpora(manifest: Mapping[str, Any]) -> dict[str, str]:
    """The data sets that are corpora, each with its kind."""
    datasets = manifest["config"]["datasets"]
    return {x["name"]: x["kind"] for x in datasets if x.get("kind") in CORPUS_KINDS}


def texts_once(manifest: Mapping[str, Any]) -> frozenset[str]:
    """The data sets whose observed texts stand only in the first timestep of a window."""
    datasets = manifest["config"]["datasets"]
    return frozenset(x["name"] for x in datasets if x.get("text") == "first_of_window")


def read_manifest(directory: str, check: bool = True) -> dict[str, Any]:
    """The manifest of a finished build.

    Args:
      directory: of the build.
      check: whether to refuse a manifest that was changed after it was written.

    Raises:
      UsageError: there is none, or it is damaged or of a newer schema.
    """
    path = files.join(directory, MANIFEST)
    try:
        data = files.read_bytes(path)
        manifest: dict[str, Any] = json.loads(data)
        version = str(manifest["schema"])
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{directory}: no {MANIFEST}, so this is no finished build. Name the --output of a "
            "`gato-data build`; run that again if it was interrupted: it goes on where it stopped."
        ) from None
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(f"{path}: damaged; no valid manifest. Run the build again.") from None
    check_version(version)
    if check and encode_manifest(manifest) != data:
        raise UsageError(
            f"{path}: its checksum is wrong: it was changed after it was written. `gato-data "
            "verify` says more; delete it and run the same build again to write it anew."
        )
    return manifest
