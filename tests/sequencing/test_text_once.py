"""Texts of the observation only in the first timestep of a window, against a slow loop."""

import dataclasses
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pytest

from gato_data.errors import ContentError
from gato_data.sequencing.assembly import Excerpt, assemble
from gato_data.sequencing.episode import Column, Episode, StepLayout
from gato_data.sequencing.tokens import EpisodeTokens, TokenisedEpisode
from gato_data.tokenizers.text import TextTokenizer
from gato_data.vocabulary import Modality, Vocabulary
from tests.sequencing.examples import (
    PATCH_FIELDS,
    TOKEN_FIELDS,
    ArrayFrames,
    Slow,
    assert_same,
    discrete,
    key,
    layout,
    planned_window,
    slow_tokens,
    texts,
)

# Texts before, between and behind the other keys, and one in the action, which always stands.
EVERY = layout(
    [
        key("a", Modality.TEXT),
        discrete("b", 2),
        key("c", Modality.TEXT),
        key("eye", Modality.IMAGE, 16, 32, 3),
        key("z", Modality.TEXT),
    ],
    discrete("act", action=True),
    key("say", Modality.TEXT, action=True),
)
ONCE = dataclasses.replace(EVERY, text_once=True)
STREAM = StepLayout((EVERY.observation[1], EVERY.observation[3]), EVERY.action)
STEPS = 5


@dataclass(frozen=True)
class CountedFrames(ArrayFrames):
    """Frames that note which of them were decoded."""

    asked: list[int] = field(default_factory=list)

    def frames(self, start: int, stop: int) -> npt.NDArray[np.uint8]:
        self.asked.extend(range(start, stop))
        return super().frames(start, stop)


def episode(frames: type[ArrayFrames] = ArrayFrames) -> Episode:
    """Texts of different lengths, some of none."""
    pixels = np.random.default_rng(1).integers(0, 256, (STEPS, 16, 32, 3)).astype(np.uint8)
    columns: dict[str, Column] = {
        "a": texts("go", "", "go to the red ball", "go", "up"),
        "b": np.arange(2 * STEPS).reshape(STEPS, 2),
        "c": texts("", "", "then", "pick up", "put"),
        "eye": frames(pixels),
        "z": texts(*["red ball"] * STEPS),
        "act": np.arange(STEPS) + 100,
        "say": texts("box", "box", "", "green box", "box"),
    }
    return Episode(STEPS, columns)


@pytest.fixture
def tokenised(text: TextTokenizer) -> TokenisedEpisode:
    return TokenisedEpisode(episode(), ONCE, Vocabulary(), text)


def step_of(slow: Slow, step: int) -> dict[str, list[int]]:
    part = slice(slow["starts"][step], slow["starts"][step + 1])
    return {name: slow[name][part] for name in TOKEN_FIELDS}


def test_layouts() -> None:
    assert ONCE.first == EVERY
    assert ONCE.stream == STREAM
    assert EVERY.stream is EVERY
    assert ONCE.to_json() == EVERY.to_json()


def test_the_stream_has_no_observed_texts(tokenised: TokenisedEpisode, text: TextTokenizer) -> None:
    slow = slow_tokens(episode(), STREAM, text)
    assert_same(tokenised.tokens(), slow)
    assert tokenised.steps.starts.tolist() == slow["starts"]


def test_the_head_is_a_whole_timestep(tokenised: TokenisedEpisode, text: TextTokenizer) -> None:
    slow = slow_tokens(episode(), EVERY, text)
    steps = tokenised.steps
    assert steps.leads is not None
    for step in range(STEPS):
        start = int(steps.starts[step])
        head = tokenised.head(start)
        assert head is not None
        found = {name: array.tolist() for name, array in head.items()}
        assert found == step_of(slow, step)
        body = steps.starts[step + 1] - start
        assert steps.lead(start) == steps.leads[step] == len(found["tokens"]) - body > 0
    assert steps.longest == np.diff(slow["starts"]).max()


def test_counts_are_those_of_the_stream(tokenised: TokenisedEpisode, text: TextTokenizer) -> None:
    slow = slow_tokens(episode(), STREAM, text)
    kinds = np.array(slow["modality"])
    assert tokenised.count(lambda x: x.modality == Modality.TEXT) == (kinds == 1).sum() > 0
    assert tokenised.count(lambda x: x.is_target) == sum(slow["loss_mask"])
    assert tokenised.image_tokens == 2 * STEPS == len(slow["patches"])
    every = TokenisedEpisode(episode(), EVERY, Vocabulary(), text)
    slow = slow_tokens(episode(), EVERY, text)
    assert every.count(lambda x: x.is_target) == sum(slow["loss_mask"])
    assert every.count(lambda x: x.modality == Modality.TEXT) == slow["modality"].count(1)


def test_without_observed_texts_nothing_is_apart(text: TextTokenizer) -> None:
    plain = dataclasses.replace(STREAM, text_once=True)
    for order in (EVERY, STREAM, plain):
        found = TokenisedEpisode(episode(), order, Vocabulary(), text)
        assert found.steps.leads is None
        assert found.head(0) is None
        assert_same(found.tokens(), slow_tokens(episode(), order, text))


def test_an_observation_of_texts_alone(text: TextTokenizer) -> None:
    order = layout([key("a", Modality.TEXT)], discrete("act", action=True))
    once = dataclasses.replace(order, text_once=True)
    columns: dict[str, Column] = {"a": texts("go", "go to"), "act": np.array([7, 8])}
    found = TokenisedEpisode(Episode(2, columns), once, Vocabulary(), text)
    assert found.tokens().fields["tokens"].tolist() == [33024, 7, 33024, 8]
    assert found.tokens().fields["local_position"].tolist() == [-1, 512] * 2
    head = found.head(2)
    assert head is not None
    assert head["tokens"].tolist() == [*text.encode("go to").tolist(), 33024, 8]


def test_every_timestep_may_be_the_first(text: TextTokenizer) -> None:
    """So its texts count for the 512 local positions, wherever it stands."""
    order = layout([discrete("b", 511), key("z", Modality.TEXT)], discrete("act", action=True))
    columns: dict[str, Column] = {
        "b": np.zeros((2, 511), np.int64),
        "z": texts("", "go to the red ball"),
        "act": np.array([7, 8]),
    }
    with pytest.raises(ContentError, match="z at step 1: observation token 51"):
        TokenisedEpisode(
            Episode(2, columns), dataclasses.replace(order, text_once=True), Vocabulary(), text
        )


def excerpt(tokenised: TokenisedEpisode, tokens: EpisodeTokens, first: int, stop: int) -> Excerpt:
    """From the start of a timestep to a token of the stream."""
    start = int(tokenised.steps.starts[first])
    return Excerpt(tokens, start, stop, tokenised.head(start), tokenised.steps.lead(start))


def expected(text: TextTokenizer, first: int, count: int) -> Slow:
    """The first `count` tokens of a window from step `first`."""
    every, stream = (slow_tokens(episode(), order, text) for order in (EVERY, STREAM))
    head = step_of(every, first)
    rest = {name: stream[name][stream["starts"][first + 1] :] for name in TOKEN_FIELDS}
    fields: Slow = {name: (head[name] + rest[name])[:count] for name in TOKEN_FIELDS}
    images = fields["modality"].count(Modality.IMAGE)
    # Two patches a step.
    patches = slice(2 * first, 2 * first + images)
    return fields | {name: stream[name][patches] for name in PATCH_FIELDS}


def test_a_sequence_of_prompt_and_window(text: TextTokenizer) -> None:
    """Each begins with a whole timestep; the prompt is one, the window ends within an image."""
    content = episode(CountedFrames)
    tokenised = TokenisedEpisode(content, ONCE, Vocabulary(), text)
    tokens = tokenised.tokens()
    starts = tokenised.steps.starts.tolist()
    prompt = excerpt(tokenised, tokens, 3, starts[4])
    window = excerpt(tokenised, tokens, 1, starts[3] + 3)
    planned = planned_window(window, prompt)
    lent, own = expected(text, 3, prompt.length), expected(text, 1, window.length)
    assert (len(lent["tokens"]), len(own["tokens"])) == (prompt.length, window.length)
    assert prompt.length == len(step_of(slow_tokens(episode(), EVERY, text), 3)["tokens"])
    assert own["modality"][-1] == Modality.IMAGE

    batch = assemble([planned], planned.length + 1, Vocabulary(), prompt_loss=True)
    record = batch.record(0)
    for name in TOKEN_FIELDS:
        assert record[name][:-1].tolist() == lent[name] + own[name], name
    for name in PATCH_FIELDS:
        assert record[name].tolist() == lent[name] + own[name], name
    assert (record["length"], record["prompt_length"]) == (planned.length, prompt.length)
    assert (record["window_start"], record["prompt_start"]) == (starts[1], starts[3])
    masked = assemble([planned], planned.length, Vocabulary(), prompt_loss=False).record(0)
    assert masked["loss_mask"].tolist() == [0] * prompt.length + own["loss_mask"]

    frames = content.columns["eye"]
    assert isinstance(frames, CountedFrames)
    # Whole timesteps take their patches from the stream: no image is decoded twice.
    assert frames.asked == list(range(STEPS))
