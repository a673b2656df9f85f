"""Prompt, window and padding as one sequence, field by field."""

from typing import Any

import numpy as np
import pytest

from gato_data.sequencing.assembly import Excerpt, PlannedSequence, assemble, size_in_bytes
from gato_data.sequencing.episode import Column, Episode
from gato_data.sequencing.sequences import TokenSequences
from gato_data.sequencing.tokens import EpisodeTokens, TokenisedEpisode
from gato_data.vocabulary import Modality, Vocabulary
from tests.sequencing.examples import ArrayFrames, discrete, key, layout, planned_window

# A step is: image patch, discrete value, separator, action.
ORDER = layout(
    [key("eye", Modality.IMAGE, 16, 16, 3), discrete("see")], discrete("act", action=True)
)


def episode(start: int, steps: int, offset: int = 0) -> TokenisedEpisode:
    """Values count from `start`; the pixels of step i are all `start` + i."""
    values = np.arange(start, start + steps)
    pixels = values.astype(np.uint8).repeat(16 * 16 * 3).reshape(steps, 16, 16, 3)
    columns: dict[str, Column] = {"eye": ArrayFrames(pixels), "see": values, "act": values + 100}
    return TokenisedEpisode(Episode(steps, columns), ORDER, Vocabulary(offset), None)


@pytest.fixture(scope="module")
def own() -> EpisodeTokens:
    return episode(10, 5).tokens()


@pytest.fixture(scope="module")
def lent() -> EpisodeTokens:
    """Only the steps of the donor that the prompt needs."""
    return episode(50, 9).tokens(4 * 6 + 2, 4 * 7 + 3)


IMAGE, SEPARATOR, PADDING = 33026, 33024, 33025


def prompted(own: EpisodeTokens, lent: EpisodeTokens) -> PlannedSequence:
    """Five tokens from within step 6 of the donor, six from within step 1."""
    prompt = Excerpt(lent, 4 * 6 + 2, 4 * 7 + 3)
    texts = {"sequence_id": "s", "episode_id": "e", "prompt_episode_id": "d", "task": "t"}
    return planned_window(Excerpt(own, 4 * 1 + 1, 4 * 2 + 3), prompt, 3, **texts)


@pytest.mark.fidelity("padding", "timestep-index", "one-episode")
def test_every_field(own: EpisodeTokens, lent: EpisodeTokens) -> None:
    batch = assemble([prompted(own, lent)], 14, Vocabulary(), prompt_loss=True)
    assert isinstance(batch, TokenSequences)
    assert len(batch) == 1
    record = batch.record(0)
    expected: dict[str, Any] = {
        "tokens": [
            *(SEPARATOR, 156, IMAGE, 57, SEPARATOR),
            *(11, SEPARATOR, 111, IMAGE, 12, SEPARATOR),
            *[PADDING] * 3,
        ],
        "modality": [5, 3, 2, 3, 5, 3, 5, 3, 2, 3, 5, 0, 0, 0],
        "loss_mask": [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        "local_position": [-1, 512, 0, 1, -1, 1, -1, 512, 0, 1, -1, -1, -1, -1],
        "timestep": [6, 6, 7, 7, 7, 1, 1, 1, 2, 2, 2, -1, -1, -1],
        "segment": [0] * 11 + [-1] * 3,
        "patch_rows": [[0, 128], [0, 128]],
        "patch_columns": [[0, 128], [0, 128]],
    }
    for name, values in expected.items():
        assert record[name].tolist() == values, name
    assert record["patches"].shape == (2, 768)
    assert record["patches"][:, 0].tolist() == [57, 12]
    dtypes = {
        "tokens": "uint16",
        "modality": "uint8",
        "loss_mask": "uint8",
        "local_position": "int16",
        "timestep": "int32",
        "segment": "int16",
        "patches": "uint8",
        "patch_rows": "uint8",
        "patch_columns": "uint8",
    }
    assert {name: record[name].dtype.name for name in dtypes} == dtypes
    scalars = {"length": 11, "prompt_length": 5, "window_start": 5, "prompt_start": 26, "pass": 3}
    assert {name: record[name] for name in scalars} == scalars
    assert (record["sequence_id"], record["episode_id"], record["task"]) == ("s", "e", "t")
    assert record["prompt_episode_id"] == "d"


@pytest.mark.fidelity("prompt-loss")
def test_without_prompt_loss_only_the_window_counts(
    own: EpisodeTokens, lent: EpisodeTokens
) -> None:
    batch = assemble([prompted(own, lent)], 14, Vocabulary(), prompt_loss=False)
    assert batch.fields["loss_mask"][0].tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    with_loss = assemble([prompted(own, lent)], 14, Vocabulary(), prompt_loss=True)
    assert with_loss.fields["loss_mask"][0, 1] == 1  # the donor is as it was


def test_sequences_without_prompt(own: EpisodeTokens) -> None:
    record = assemble([planned_window(Excerpt(own, 0, 20))], 20, Vocabulary(), True).record(0)
    assert record["prompt_length"] == 0
    assert record["prompt_start"] == -1
    assert record["window_start"] == 0
    assert record["length"] == 20
    assert PADDING not in record["tokens"]
    assert record["tokens"].tolist() == own.fields["tokens"].tolist()
    assert record["segment"].tolist() == [0] * 20


@pytest.mark.fidelity("image-patches", "one-episode")
def test_each_sequence_has_its_own_patches(own: EpisodeTokens, lent: EpisodeTokens) -> None:
    """Also one that has none, which is cut between two images."""
    sequences = [
        prompted(own, lent),
        planned_window(Excerpt(own, 1, 4)),
        planned_window(Excerpt(own, 4, 13)),
    ]
    batch = assemble(sequences, 14, Vocabulary(), True)
    assert len(batch) == 3
    assert batch.patch_offsets.tolist() == [0, 2, 2, 5]
    assert batch.patch_fields["patches"][:, 0].tolist() == [57, 12, 11, 12, 13]
    assert batch.record(1)["patches"].shape == (0, 768)
    assert batch.record(1)["patch_rows"].shape == (0, 2)
    assert batch.record(2)["patches"][:, 0].tolist() == [11, 12, 13]
    images = (batch.fields["modality"] == Modality.IMAGE).sum(axis=1)
    assert np.diff(batch.patch_offsets).tolist() == images.tolist()


def test_large_vocabularies_have_wide_tokens() -> None:
    tokens = episode(0, 1, offset=70_000).tokens()
    batch = assemble([planned_window(Excerpt(tokens, 0, 4))], 5, Vocabulary(70_000), True)
    assert batch.fields["tokens"].dtype == np.uint32
    assert batch.fields["tokens"][0].tolist() == [IMAGE, 70_000, SEPARATOR, 70_100, PADDING]


def test_no_sequences() -> None:
    batch = assemble([], 8, Vocabulary(), True)
    assert len(batch) == 0
    assert batch.fields["tokens"].shape == (0, 8)
    assert batch.patch_fields["patches"].shape == (0, 768)


def test_lengths_and_sizes(own: EpisodeTokens, lent: EpisodeTokens) -> None:
    sequence = prompted(own, lent)
    assert sequence.length == 11
    assert [part.length for part in sequence.parts] == [5, 6]
    # Twelve bytes for each of 14 tokens, two patches.
    assert size_in_bytes(sequence, 14) == 12 * 14 + 2 * 768
