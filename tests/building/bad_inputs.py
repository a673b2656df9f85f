"""Builds of episodes that are spoilt on purpose, by the command line."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gato_data.storage import framing
from gato_data.storage.example import parse, serialise
from pipelines.cli import main
from tests.building.builds import write_config
from tests.oracle import rlds_fixtures

Edit = Callable[[dict[str, Any]], None]


def config_of(mixed: Path, text_model: Path) -> dict[str, Any]:
    """A config of one data set with every modality."""
    return {
        "vocabulary": {"text_model": str(text_model)},
        "sequence": {"length": 256},
        "prompt": {"length": 64},
        "datasets": [
            {
                "name": "mixed",
                "kind": "rlds",
                "path": str(mixed),
                "task": "episode_metadata/task",
                "filter": "off",
            }
        ],
    }


def run(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str], verb: str = "build"
) -> tuple[int, str]:
    """Exit status and error text of a command."""
    path = write_config(tmp_path, config)
    status = main([verb, str(path), "--output", str(tmp_path / "out"), "--quiet"])
    errors = capsys.readouterr().err
    assert "Traceback" not in errors
    return status, errors


def set_dataset(**values: Any) -> Edit:
    return lambda config: config["datasets"][0].update(values)


def set_section(section: str, **values: Any) -> Edit:
    return lambda config: config.setdefault(section, {}).update(values)


def write_rlds(
    folder: Path, episodes: list[dict[str, Any]], image_shape: tuple[int, int, int] | None
) -> Path:
    features = rlds_fixtures.random_features(image_shape)
    return Path(rlds_fixtures.write_rlds(folder, features, episodes))


def copy_input(mixed: Path, folder: Path, config: dict[str, Any]) -> Path:
    """A copy of the input, to which the config is set."""
    copied = folder / "1.0.0"
    shutil.copytree(mixed, copied)
    config["datasets"][0]["path"] = str(copied)
    return copied


def edit_records(folder: Path, edit: Callable[[int, bytes], bytes]) -> None:
    """Rewrites all records, numbered over all files, with right checksums."""
    number = 0
    for path in sorted(folder.glob("*.tfrecord-*")):
        with path.open("rb") as file:
            payloads = [record.payload for record in framing.scan(file, 1 << 30)]
        edited = []
        for payload in payloads:
            edited.append(framing.frame(edit(number, payload)))
            number += 1
        path.write_bytes(b"".join(edited))


def replace(record: bytes, **values: Any) -> bytes:
    """The record with the values of some keys replaced (`__` stands for `/`)."""
    features: dict[str, Any] = {}
    for name, feature in parse(record).items():
        kind = {1: feature.bytes_column, 2: feature.floats, 3: feature.ints}[feature.kind]()
        features[name] = list(kind) if feature.kind == 1 else kind
    return serialise(features | {name.replace("__", "/"): value for name, value in values.items()})


def column(record: bytes, name: str) -> Any:
    feature = parse(record)[name]
    return feature.floats().copy() if feature.kind == 2 else feature.ints().copy()


def nan(record: bytes) -> bytes:
    values = column(record, "steps/observation/arm/joints")
    values[3] = np.nan
    return replace(record, steps__observation__arm__joints=values)


def broken_image(record: bytes) -> bytes:
    images = list(parse(record)["steps/observation/image"].bytes_column())
    images[1] = images[1][: len(images[1]) // 2]
    return replace(record, steps__observation__image=images)
