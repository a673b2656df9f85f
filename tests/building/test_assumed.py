"""Plans from assumed sizes: held to the windows that are really cut, and to sums by hand."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gato_data.building.assumed import PAIR_TEXT_TOKENS, AssumedPlan, assume
from gato_data.building.plan import cpu_seconds
from gato_data.building.units import EpisodeSize
from gato_data.config import (
    AnyDataset,
    AssumedSize,
    Config,
    DatasetConfig,
    InterleavedConfig,
    PairsConfig,
    PromptConfig,
    SequenceConfig,
    TextConfig,
)
from gato_data.errors import UsageError
from gato_data.sequencing.windows import Steps, WindowRule, windows

NO_PROMPTS = PromptConfig(probability=0.0)


def agent(records: int, tokens: float, image_share: float | None = None) -> DatasetConfig:
    return DatasetConfig("a", "rlds", path="a", assumed=AssumedSize(records, tokens, image_share))


def pairs(assumed: AssumedSize | None, **keys: Any) -> PairsConfig:
    return PairsConfig(
        **{"name": "p", "kind": "image_text", "template": "{text}", "assumed": assumed} | keys
    )


def text(records: int, tokens: float, **keys: Any) -> TextConfig:
    return TextConfig(name="t", assumed=AssumedSize(records, tokens), **keys)


def plan_of(dataset: AnyDataset, **sections: Any) -> AssumedPlan:
    (plan,) = assume(Config(datasets=(dataset,), **sections))
    return plan


def cut(rule: WindowRule, lengths: list[int]) -> tuple[float, float]:
    """Windows of episodes of these lengths and tokens in them, as the build cuts them: the mean."""
    count = tokens = 0
    for number, length in enumerate(lengths):
        steps = Steps(np.arange(length + 1))
        for window in windows(rule, steps, lambda lent=steps: lent, 3, "a", str(number), 0):  # type: ignore[misc]
            count += 1
            tokens += window.length + window.prompt.length
    return count / len(lengths), tokens / len(lengths)


@pytest.mark.parametrize("mode", ["cover", "random"])
@pytest.mark.parametrize("probability", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("tokens", [300, 1100, 2788, 4946, 19874])
def test_episodes_as_they_are_cut(tokens: int, probability: float, mode: Any) -> None:
    sequence = SequenceConfig(length=1024, windows=mode, windows_per_episode=3)
    prompt = PromptConfig(probability=probability)
    plan = plan_of(agent(10**6, tokens * 10**6), sequence=sequence, prompt=prompt)
    rule = WindowRule(1024, mode, 3, False, probability, 0.5, 512)
    count, used = cut(rule, [tokens] * 1000)
    assert plan.sequences / 10**6 == pytest.approx(count, rel=0.02)
    assert plan.tokens / 10**6 == pytest.approx(used, rel=0.025)


@pytest.mark.parametrize("mode", ["cover", "random"])
@pytest.mark.parametrize("mean", [100, 996, 5000])
def test_documents_as_they_are_cut(mean: int, mode: Any) -> None:
    sequence = SequenceConfig(length=1024, windows=mode, windows_per_episode=3)
    plan = plan_of(text(10**6, mean * 10**6), sequence=sequence)
    lengths = np.maximum(np.random.default_rng(1).exponential(mean, 5000).astype(int), 1)
    # As many tokens as the mean says, so that chance in the lengths does not count.
    count, used = cut(WindowRule(1024, mode, 3, False, 0.0, 0.5, 512), lengths.tolist())
    drift = lengths.mean() / mean
    assert plan.sequences / 10**6 == pytest.approx(count, rel=0.02)
    assert plan.tokens / 10**6 == pytest.approx(used / drift, rel=0.03)


def test_long_episodes_have_one_window_more_than_fit() -> None:
    plan = plan_of(agent(1000, 1000 * 10240), prompt=NO_PROMPTS)
    assert (plan.sequences, plan.tokens) == (11_000, 11_000 * 1024)


def test_short_episodes_have_one() -> None:
    plan = plan_of(agent(1000, 1000 * 200), prompt=NO_PROMPTS)
    assert (plan.sequences, plan.tokens) == (1000, 200_000)
    # A quarter of them has a prompt: another whole episode of 200 tokens.
    assert plan_of(agent(1000, 1000 * 200)).tokens == 250_000


def test_packed_documents_fill_their_sequences() -> None:
    plan = plan_of(text(10**6, 1e8, pack=True))
    padded = plan_of(text(10**6, 1e8))
    assert padded.sequences == pytest.approx(10**6, rel=1e-3)
    assert plan.tokens == pytest.approx(padded.tokens) == pytest.approx(1e8, rel=1e-3)
    # 97 % of a packed sequence is no padding, about.
    assert plan.sequences == pytest.approx(1e8 / 1024 / 0.97, rel=1e-3)
    # Many windows from each: only short documents are packed.
    sequence = SequenceConfig(windows="random", windows_per_episode=4)
    long = plan_of(text(1000, 1e8, pack=True), sequence=sequence)
    assert long.sequences == pytest.approx(4000, rel=0.02)


@pytest.mark.parametrize(
    ("size", "tokens"),
    # 196 tokens of an image and 16 of text, five times: cropped to 1024. 64 and 16: padded.
    [((224, 224), 1024), ((128, 128), 5 * (64 + PAIR_TEXT_TOKENS))],
)
def test_pairs_of_one_size(size: tuple[int, int], tokens: int) -> None:
    plan = plan_of(pairs(AssumedSize(11), image_size=size))
    assert (plan.sequences, plan.tokens) == (3, 3 * tokens)
    image_tokens = size[0] * size[1] // 256
    share = image_tokens / (image_tokens + PAIR_TEXT_TOKENS)
    expected = EpisodeSize(3, 3 * tokens, 3 * tokens * share).bytes(1024)
    assert plan.output_bytes == pytest.approx(expected)


def test_pairs_whose_tokens_are_told() -> None:
    """Ten pairs of 196 + 4 tokens: two sequences of 1000."""
    plan = plan_of(pairs(AssumedSize(10, 2000.0)))
    assert (plan.sequences, plan.tokens) == (2, 2000)
    images = 0.98 * 2000
    assert plan.output_bytes == pytest.approx(2 * 1024 * 12 + images * 772)
    assert plan.cpu_seconds == pytest.approx(cpu_seconds(2000, images, 40))
    stored = plan_of(pairs(AssumedSize(10, 2000.0, 0.98), image_size=None))
    assert stored == plan


def test_bytes_and_cost_by_hand() -> None:
    """12 bytes a token, 772 more where it is a patch; text of corpora is encoded."""
    plan = plan_of(agent(1, 1024.0, 0.5), prompt=NO_PROMPTS)
    assert plan.output_bytes == 1024 * 12 + 512 * 772
    assert plan.cpu_seconds == pytest.approx(1024 / 5e6 + 512 / 1.5e5)
    corpus = InterleavedConfig(name="i", assumed=AssumedSize(1000, 1e5, 0.5))
    plan = plan_of(corpus)
    assert plan.cpu_seconds == pytest.approx(cpu_seconds(plan.tokens, plan.tokens / 2, 5e4))


def test_passes_multiply_and_a_share_is_held_out() -> None:
    for dataset in (
        replace(agent(1000, 2e6, 0.3), validation=0.25),
        text(1000, 2e6, validation=0.25),
    ):
        once = plan_of(dataset)
        thrice = plan_of(dataset, sequence=SequenceConfig(passes=3))
        assert once.train_sequences == pytest.approx(0.75 * once.sequences, abs=1)
        for name in ("sequences", "train_sequences"):
            assert getattr(thrice, name) == pytest.approx(3 * getattr(once, name), abs=2), name
        for name in ("tokens", "output_bytes", "cpu_seconds"):
            assert getattr(thrice, name) == pytest.approx(3 * getattr(once, name)), name
    # How much a task is of its data set, nobody says.
    tasks = plan_of(replace(agent(1000, 2e6), validation=("lift",)))
    assert tasks.train_sequences == tasks.sequences


def test_what_is_missing_is_named() -> None:
    datasets = (
        replace(agent(1, 1), name="robot", assumed=None),
        replace(agent(1, 1), name="arm", assumed=AssumedSize(3)),
        TextConfig(name="books", assumed=AssumedSize(3)),
        InterleavedConfig(name="pages", assumed=AssumedSize(3, 100.0)),
        pairs(AssumedSize(3), name="photos", image_size=None),
        pairs(AssumedSize(3), name="fine"),
    )
    with pytest.raises(UsageError) as raised:
        assume(Config(datasets=datasets))
    share = (
        "`assumed.image_share` is missing. An image token takes as many bytes on disk as 65 "
        "others, so it matters how many there are."
    )
    tokens = "`assumed.tokens` is missing. Only pairs of one `image_size` are planned without it."
    assert str(raised.value).splitlines() == [
        "data set 'robot': nothing is assumed. Give its size, as `assumed: {records: 1000, tokens: "
        "2.5e+6}`.",
        f"data set 'arm': {tokens}",
        f"data set 'books': {tokens}",
        f"data set 'pages': {share}",
        f"data set 'photos': {tokens}",
        f"data set 'photos': {share}",
    ]
