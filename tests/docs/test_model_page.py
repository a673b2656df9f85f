"""docs/model.md: every block runs and gives what the page says, and the tables are right."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.docs import pages

PAGE = "model.md"
CODE = pages.blocks(PAGE)
TEXT = (pages.DOCS / PAGE).read_text()


@pytest.fixture
def folder(tmp_path: Path, tiny_build_arrow: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A build where the page has it."""
    (tmp_path / "out").symlink_to(tiny_build_arrow)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_block_is_tested() -> None:
    assert list(CODE) == ["A model and its loss", "Another sequence model", "TensorFlow"]


def test_the_model_and_another_sequence_model(folder: Path) -> None:
    found = pages.run(CODE["A model and its loss"])
    assert found["logits"].shape == (4, 96, 33027)
    assert float(found["mean"]) == pytest.approx(np.log(33027), rel=0.02)
    names = pages.run(CODE["Another sequence model"], **{x: found[x] for x in ("Gato", "preset")})
    model, batch = names["recurrent"], found["batch"]
    before, after = one_step(model, batch)
    assert before == pytest.approx(np.log(33027), rel=0.02)
    assert after < before - 0.1
    # The layer has weights, which the step has moved, and sees nothing of what comes later.
    assert any("gru" in weight.path for weight in model.trainable_variables)
    tokens = batch["tokens"].copy()
    tokens[:, 50] = 7
    changed = model(batch | {"tokens": tokens})
    np.testing.assert_array_equal(np.asarray(changed)[:, :50], np.asarray(model(batch))[:, :50])
    lines = CODE["Another sequence model"].partition("class")[2].strip().splitlines()
    assert len([line for line in lines if line.strip()]) <= 10


def one_step(model: Any, batch: Any) -> tuple[float, float]:
    """The mean loss before and after a step of AdamW."""
    import jax
    import keras

    from gato_data.transformer import stateless
    from gato_data.transformer.loss import loss_parts

    optimiser = keras.optimizers.AdamW(3e-3)
    own = stateless.variables(model)
    trained = [any(x is y for y in model.trainable_variables) for x in own]

    def loss(weights: Any, rest: Any) -> Any:
        ours, others = iter(weights), iter(rest)
        values = [next(ours) if one else next(others) for one in trained]
        parts, _ = stateless.call(model, values, lambda: loss_parts(model, batch, training=True))
        return parts["loss"] / parts["targets"]

    values = stateless.values_of(model)
    weights = [x for x, one in zip(values, trained, strict=True) if one]
    rest = [x for x, one in zip(values, trained, strict=True) if not one]
    optimiser.build(model.trainable_variables)
    step = jax.jit(jax.value_and_grad(loss))
    before, gradients = step(weights, rest)
    optimiser.apply(gradients, model.trainable_variables)
    return float(before), float(step([x.value for x in model.trainable_variables], rest)[0])


def test_tensorflow(folder: Path) -> None:
    pytest.importorskip("tensorflow", reason="TensorFlow is an extra")
    root = str(pages.DOCS.parent)
    done = subprocess.run(
        [sys.executable, "-c", CODE["TensorFlow"] + "\nprint(losses)"],
        env=os.environ | {"KERAS_BACKEND": "tensorflow", "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    losses = [float(x) for x in re.findall(r"\d+\.\d+", done.stdout.splitlines()[-1])]
    assert len(losses) == 3
    assert losses[0] == pytest.approx(np.log(33027), rel=0.02)


def test_sizes() -> None:
    from gato_data.transformer.config import PRESETS, parameter_count

    rows = {
        cells[0].strip("`"): cells[1:]
        for line in TEXT.splitlines()
        if len(cells := [x.strip() for x in line.strip("|").split("|")]) == 10
    }
    for name, one in PRESETS.items():
        config, counts = one.model, parameter_count(one.model)
        sizes = (config.layers, config.width, config.heads, config.head_size, config.hidden)
        assert rows[name][:5] == [str(size) for size in sizes]
        assert rows[name][-1] == f"{sum(counts.values()):,}"
        for cell, part in zip(rows[name][5:8], ("blocks", "ids", "patches"), strict=True):
            millions = float(cell.removesuffix(" M").replace(",", ""))
            assert millions == pytest.approx(counts[part] / 1e6, abs=0.051)


def test_readings_of_geglu() -> None:
    """Two matrices of `hidden`, three of them, or three of a half; and what attention has."""
    from gato_data.transformer.config import PRESETS

    parts = TEXT[TEXT.index("| reading |") :].split("\n\n")[0].splitlines()[2:]
    for line, matrices in zip(parts, (1.5, 2, 3), strict=True):
        for cell, name in zip(line.split("|")[2:5], ("79m", "364m", "1.18b"), strict=True):
            config = PRESETS[name].model
            each = 4 * config.width**2 + matrices * config.width * config.hidden
            number, unit = cell.split()
            found = config.layers * each / {"M": 1e6, "B": 1e9}[unit]
            assert float(number) == pytest.approx(found, abs=0.51 if unit == "M" else 0.0051)


def test_every_option_has_a_row() -> None:
    from gato_data.transformer.config import ModelConfig

    table = TEXT[TEXT.index("## Options") : TEXT.index("## Another")]
    named = set(
        re.findall(
            r"`(\w+)`",
            "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")),
        )
    )
    sizes = {"layers", "width", "heads", "head_size", "hidden", "vocabulary", "length"}
    assert named == set(ModelConfig.__dataclass_fields__) - sizes
