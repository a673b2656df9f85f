"""Acting with a cache gives the scores of a call of the whole context, slide after slide."""

from itertools import cycle
from typing import Any

import numpy as np
import pytest

from gato_data.transformer import stateless
from gato_data.transformer.policy.demonstrations import demonstrations
from gato_data.transformer.policy.policy import GatoPolicy, make_policy
from tests.transformer.policy.models import small_model, whole_scores
from tests.transformer.policy.recordings import Recorded

ROWS = 3


def policy_of(recorded: Recorded, position: str = "rotary", **given: Any) -> GatoPolicy:
    model = small_model(position)
    prompts = demonstrations(recorded.build, recorded.dataset) if given.pop("prompted", 1) else []
    return make_policy(
        model,
        stateless.values_of(model),
        recorded.data,
        recorded.spaces,
        where="test",
        rows=given.pop("rows", ROWS),
        prompts=prompts,
        **given,
    )


def check_row(policy: GatoPolicy, recorded: Recorded, row: int, position: str) -> None:
    """Compares the scores of the last action with those of a whole call."""
    context = policy.context(row)
    tokens = context.tokens()
    length = recorded.data.length
    assert len(tokens) == len(context) <= length
    patches = length if any(x["modality"] == "image" for x in layout_json(recorded)) else 0
    expected = whole_scores(small_model(position), tokens, length, patches)
    size = policy.scores.shape[1]
    for part in range(size):
        start = policy.components[part].start
        np.testing.assert_allclose(
            np.asarray(policy.scores)[row, part],
            expected[len(tokens) - size - 1 + part, start : start + 1024],
            rtol=1e-4,
            atol=1e-4,
        )


def layout_json(recorded: Recorded) -> list[Any]:
    return recorded.build.manifest["datasets"][recorded.dataset]["layout"]


@pytest.mark.parametrize(
    ("name", "position", "steps", "given"),
    [
        ("cartpole", "rotary", 30, {}),
        ("cartpole", "learned", 26, {"prompted": 0}),
        ("cartpole", "alibi", 40, {"pinned": False, "prompt_length": 64}),
        ("symbols", "rotary", 9, {}),
        ("symbols_once", "rotary", 9, {}),
        ("pixels", "rotary", 9, {}),
        ("toy", "rotary", 9, {}),
    ],
)
def test_scores_are_those_of_the_whole_context(
    name: str, position: str, steps: int, given: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    recorded: Recorded = request.getfixturevalue(name)
    policy = policy_of(recorded, position, **given)
    observed = cycle([x for found in recorded.observations.values() for x in found])
    policy.begin(0, 10)
    policy.begin(1, 11)
    fills, slides = set(), 0
    for step in range(steps):
        # Row 2 joins late, row 1 starts anew on the way, and row 0 rests once.
        if step == 3:
            policy.begin(2, 12)
        if step == steps // 2:
            policy.begin(1, 13)
        rows = [row for row in (1, 0, 2) if (row < 2 or step >= 3) and (row or step != 4)]
        policy.act(rows, [next(observed) for _ in rows])
        fills.add(tuple(len(policy.context(row)) for row in rows))
        slid, slides = policy.context(0).slides > slides, policy.context(0).slides
        if slid or step in (0, 3, 4, 5, steps - 1):
            for row in rows:
                check_row(policy, recorded, row, position)
    assert policy.context(0).slides >= 3
    assert any(len(set(lengths)) > 1 for lengths in fills)
