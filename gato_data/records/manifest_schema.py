"""Holds a manifest to `schemas/manifest.json`, as far as readers of a build rely on it."""

from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema

from gato_data.schema_files import read_schema

# Of the input files of a data set, of which there may be a million, readers of a build use nothing.
_INPUTS = 1


def schema_problems(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What is not as the schema demands, one sentence for each; of inputs only the first counts."""
    validator = jsonschema.Draft202012Validator(read_schema("manifest.json"))
    for error in validator.iter_errors(_without_inputs(manifest)):
        place = ".".join(map(str, error.absolute_path)) or "the document"
        yield f"{place} is not as schemas/manifest.json demands: {error.message:.200}"


def _without_inputs(manifest: Mapping[str, Any]) -> dict[str, Any]:
    datasets = manifest.get("datasets")
    if not isinstance(datasets, dict):
        return dict(manifest)
    shortened = {
        name: one | {"inputs": one["inputs"][:_INPUTS]}
        if isinstance(one, dict) and isinstance(one.get("inputs"), list)
        else one
        for name, one in datasets.items()
    }
    return dict(manifest) | {"datasets": shortened}
