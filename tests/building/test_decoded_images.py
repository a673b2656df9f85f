"""Which images a build decodes, and how many of them at once."""

from pathlib import Path
from typing import Any

import pytest

from tests.building.bad_inputs import (
    config_of,
    run,
)


@pytest.fixture
def config(mixed: Path, text_model: Path) -> dict[str, Any]:
    return config_of(mixed, text_model)


def test_random_windows_decode_only_what_they_show(
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gato_data.readers import images

    decoded: list[int] = []
    decode = images.decode_frames

    def counting(data: Any, shape: Any) -> Any:
        decoded.append(len(data))
        return decode(data, shape)

    monkeypatch.setattr(images, "decode_frames", counting)
    shown = {}
    for windows in ("cover", "random"):
        decoded.clear()
        config["sequence"] = {"length": 64, "windows": windows}
        config["prompt"] = {"probability": 0, "length": 8}
        assert run(tmp_path / windows, config, capsys)[0] == 0
        shown[windows] = sum(decoded)
    # Windows of 64 tokens show at most four of up to 29 steps; the check of the decoder shows one.
    assert shown["random"] <= 14 * 4 + 1 < shown["cover"]


def test_frames_fitted_in_parts_are_the_same(
    tmp_path: Path,
    config: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from gato_data.sequencing import patches

    config["datasets"][0]["image_size"] = [16, 32]
    assert run(tmp_path / "whole", config, capsys)[0] == 0
    monkeypatch.setattr(patches, "_CHUNK_PIXELS", 2 * 32 * 48)
    assert run(tmp_path / "parts", config, capsys)[0] == 0
    whole, parts = (
        (tmp_path / name / "out/shards.parquet").read_bytes() for name in ("whole", "parts")
    )
    assert whole == parts
