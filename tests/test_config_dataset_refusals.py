"""What a data set of a config is refused for, with the line and the key."""

from pathlib import Path

import pytest

from gato_data.config import load_config
from tests.test_config_refusals import MINIMAL, refusal

# Keys of the data set of MINIMAL, from line 5 on, and the message but for "a.yaml:".
DATASET_REFUSALS = [
    (
        "wieght: 1",
        "5: datasets[0].wieght: this key is unknown. Did you mean weight? Known here: name, kind, "
        "path, tfds, split, validation, task, agent, episode_id, duplicates, observation, action, "
        "action_range, clip, modalities, image_size, image_fit, text, last_step, filter, weight, "
        "assumed.",
    ),
    *(
        (
            f"weight: {weight}",
            f"5: datasets[0].weight: found the number {weight}. Expected a number above 0: the "
            "share of sequences from this data set, relative to the others.",
        )
        for weight in (0, -2.5)
    ),
    *(
        (
            f"validation: {value}",
            f"5: datasets[0].validation: found {found}. Expected a number from 0 up to but not "
            "including 1 (the share of episodes held out), or a list of task names to hold out.",
        )
        for value, found in [
            ("1", "the number 1"),
            ("-0.1", "the number -0.1"),
            ("[]", "the list []"),
            ("true", "true"),
            ("lift", 'the text "lift"'),
        ]
    ),
    (
        "validation:\n      - lift\n      - 3",
        "7: datasets[0].validation[1]: found the number 3. Expected the name of a task.",
    ),
    (
        "split: train[:10%]",
        '5: datasets[0].split: found the text "train[:10%]". Expected the name of one whole split '
        "of the directory, such as train (slices such as train[:10%] are not read).",
    ),
    (
        "task: {path: steps/task}",
        "5: datasets[0].task: the key literal is missing. Expected the path of a field such as "
        'steps/language_instruction, or {literal: "a name"}.\n'
        "a.yaml:5: datasets[0].task.path: this key is unknown. Known here: literal.",
    ),
    (
        "agent: {literal: ''}",
        '5: datasets[0].agent.literal: found the text "". Expected a text that is not empty.',
    ),
    (
        "task: /steps/task",
        '5: datasets[0].task: found the text "/steps/task". Expected the path of a field such as '
        'steps/language_instruction, or {literal: "a name"}.',
    ),
    (
        "duplicates: keep_first",
        "5: datasets[0].duplicates: without `episode_id`, ids are file names and record numbers, "
        "of which none stands twice. Remove it, or name the field of the id by `episode_id`.",
    ),
    (
        "episode_id: 3",
        "5: datasets[0].episode_id: found the number 3. Expected the path of a field that differs "
        "in every episode, such as episode_metadata/file_path.",
    ),
    (
        "observation:\n      - steps/observation/a\n      - /state",
        '7: datasets[0].observation[1]: found the text "/state". Expected the path of a field of a '
        "step or of the episode, such as steps/observation/state.",
    ),
    (
        "observation: []",
        "5: datasets[0].observation: found the list []. Expected a list of 1 to 512 paths of "
        "fields, such as steps/observation/state; one of the episode is observed in every step.",
    ),
    (
        "observation:\n      - steps/observation/a\n      - steps/b\n      - steps/observation/a",
        "8: datasets[0].observation[2]: steps/observation/a is selected twice. Remove one of the "
        "two.",
    ),
    (
        "observation: [steps/observation,\n      steps/observation/a]",
        "6: datasets[0].observation[1]: steps/observation/a is selected twice as part of "
        "steps/observation. Remove one of the two.",
    ),
    (
        "action:\n      - steps/action/a\n      - steps/action",
        "7: datasets[0].action[1]: steps/action/a is selected twice as part of steps/action. "
        "Remove one of the two.",
    ),
    (
        "observation: [steps/state]\n    action: steps/state",
        "6: datasets[0].action: two roles for one key: steps/state is selected as observation and "
        "as action. List under `observation` only what is no action.",
    ),
    (
        "observation: [steps/action]",
        "5: datasets[0].observation[0]: two roles for one key: steps/action is selected as "
        "observation and as action. List under `observation` only what is no action.",
    ),
    (
        "action: steps/observation/joints",
        "5: datasets[0].action: two roles for one key: steps/observation/joints is selected as "
        "observation (by default) and as action as part of steps/observation. List under "
        "`observation` only what is no action.",
    ),
    (
        "modalities:\n      steps/observation/a: float",
        '6: datasets[0].modalities.steps/observation/a: found the text "float". Expected '
        "continuous, discrete, image or text.",
    ),
    (
        "modalities:\n      steps/a: text\n      steps/a: discrete",
        "7: datasets[0].modalities.steps/a: the key is given twice, first in line 6. Remove one of "
        "the two.",
    ),
    (
        "image_size: [64, 70]",
        "5: datasets[0].image_size[1]: found the number 70. Expected a multiple of 16, the side of "
        "a patch.",
    ),
    (
        "image_size: [64]",
        "5: datasets[0].image_size: found the list [64]. Expected [height, width] in pixels, both "
        "multiples of 16.",
    ),
    (
        "image_size: [512, 512]",
        "5: datasets[0].image_size: one such image has 32 x 32 = 1024 tokens, and a step holds 512 "
        "observation tokens at most. Choose a smaller size.",
    ),
    (
        "image_fit: crop",
        '5: datasets[0].image_fit: found the text "crop". Expected error, resize_up, pad or '
        "center_crop: what to do with image sides that are no multiple of 16.",
    ),
    (
        "text: first_step",
        '5: datasets[0].text: found the text "first_step". Expected every_step (texts of the '
        "observation stand in every timestep, as in the paper) or first_of_window (only in the "
        "first timestep of each window and prompt).",
    ),
    (
        "text: first_of_window",
        "5: datasets[0].text: first_of_window needs windows that begin with a whole timestep. Set "
        "`sequence.align: timestep`, or text to every_step.",
    ),
    (
        "last_step: off",
        "5: datasets[0].last_step: found false. Expected drop (RLDS: the last step has no valid "
        "action) or keep (many converted robot sets have one).",
    ),
    *(
        (
            f"filter: {value}",
            f"5: datasets[0].filter: found {found}. Expected a mapping with expert_return_share, "
            "estimator, relative_to_random, expert_returns, successes_only, top_k, order_by, "
            "tasks, or off.",
        )
        for value, found in [("on", "true"), ("null", "nothing"), ("none", 'the text "none"')]
    ),
    (
        "filter:\n      estimator: mean",
        '6: datasets[0].filter.estimator: found the text "mean". Expected window (the paper: the '
        "best window of episodes in their order) or top_mean (the mean of the best episodes).",
    ),
    (
        "filter: {share: 0.8}",
        "5: datasets[0].filter.share: this key is unknown. Known here: expert_return_share, "
        "estimator, relative_to_random, expert_returns, successes_only, top_k, order_by, tasks.",
    ),
    (
        "tfds: robot/small",
        "5: datasets[0].tfds: path and tfds are both given. Remove one of the two.",
    ),
]


@pytest.mark.parametrize("sequence", ["align: timestep", "align: timesteps", "length: 2048"])
def test_text_once_where_windows_begin_with_timesteps(tmp_path: Path, sequence: str) -> None:
    """A section that is wrong in itself is all that is spoken of."""
    text = f"{MINIMAL}    text: first_of_window\nsequence: {{{sequence}}}\n"
    if sequence == "align: timestep":
        (tmp_path / "a.yaml").write_text(text)
        assert load_config(str(tmp_path / "a.yaml")).datasets[0].text == "first_of_window"
    else:
        expected = "datasets[0].text: first_of" if "length" in sequence else "sequence.align: found"
        (message,) = refusal(tmp_path, text).splitlines()
        assert expected in message


@pytest.mark.parametrize(("text", "message"), DATASET_REFUSALS)
def test_of_a_data_set(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, f"{MINIMAL}    {text}\n") == f"a.yaml:{message}"
