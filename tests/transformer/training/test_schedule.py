"""The learning rate of each step, held to values worked out by hand."""

import numpy as np
import pytest

from gato_data.errors import UsageError
from gato_data.transformer.training.schedule import Schedule, schedule
from gato_data.transformer.training.settings import TrainingConfig


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 1e-7),
        (1, 1e-7 + (1e-3 - 1e-7) / 10),
        (5, 5.0005e-4),
        (10, 1e-3),
        (35, 8.681981e-4),  # a quarter of the way: 0.1 + 0.9 * (1 + sqrt(1/2)) / 2
        (60, 5.5e-4),
        (85, 2.318019e-4),
        (110, 1e-4),
        (500, 1e-4),
    ],
)
def test_warmup_and_cosine(step: int, rate: float) -> None:
    found = Schedule(1e-3, steps=110, warmup=10)(step)
    np.testing.assert_allclose(found, rate, rtol=2e-6)


def test_without_decay_the_peak_stays() -> None:
    rate = Schedule(1e-5, steps=110, warmup=10, decay="none")
    np.testing.assert_allclose([rate(5), rate(10), rate(109)], [5.05e-6, 1e-5, 1e-5], rtol=2e-6)


def test_without_warmup_it_begins_with_the_peak() -> None:
    np.testing.assert_allclose(Schedule(1e-3, steps=10, warmup=0)(0), 1e-3, rtol=1e-6)


def test_the_warmup_of_the_paper_and_of_shorter_trainings() -> None:
    paper = TrainingConfig(steps=1_000_000, batch=512, rate=2e-4)
    assert paper.warmup_steps == 15_000
    np.testing.assert_allclose(schedule(paper)(7500), 1.0005e-4, rtol=1e-6)
    np.testing.assert_allclose(schedule(paper)(1_000_000), 2e-5, rtol=1e-6)
    assert TrainingConfig(steps=1200, batch=1, rate=1.0).warmup_steps == 120
    assert TrainingConfig(steps=1200, batch=1, rate=1.0, warmup=7).warmup_steps == 7


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("batch", True),
        ("rate", 0.0),
        ("rate", float("nan")),
        ("warmup", 10),
        ("warmup", -1),
        ("decay", "linear"),
        ("weight_decay", -0.1),
        ("clip", 0.0),
        ("seed", 1 << 32),
    ],
)
def test_a_training_that_makes_no_sense_is_refused(field: str, value: object) -> None:
    given = {"steps": 10, "batch": 4, "rate": 1e-3} | {field: value}
    with pytest.raises(UsageError, match=f"training: {field} is"):
        TrainingConfig(**given)  # type: ignore[arg-type]


def test_a_training_as_json() -> None:
    config = TrainingConfig(steps=10, batch=4, rate=1e-3, warmup=2, clip=1.0)
    assert TrainingConfig.from_json(config.to_json()) == config
    with pytest.raises(UsageError, match="pace is missing or unknown"):
        TrainingConfig.from_json(config.to_json() | {"pace": 1})
