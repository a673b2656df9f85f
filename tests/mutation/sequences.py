"""Mistakes in the tokens of a step: order, masks, positions, targets."""

from tests.mutation.mutant import Mutant

TOKENS = "gato_data/sequencing/tokens.py"
EPISODE = "gato_data/sequencing/episode.py"
ASSEMBLY = "gato_data/sequencing/assembly.py"
LAYOUT = "gato_data/building/layout.py"
CONFIG = "gato_data/config_types.py"
VOCABULARY = "gato_data/vocabulary.py"
BATCHES = "gato_data/loading/batches.py"
TARGETS = "gato_data/loading/targets.py"

MUTANTS = (
    # Order.
    Mutant(
        "keys-compared-as-strings",
        "key-order",
        LAYOUT,
        'return rank, field.path.split("/")',
        "return rank, field.path",
    ),
    Mutant(
        "digits-in-keys-compared-as-numbers",
        "key-order",
        LAYOUT,
        'return rank, field.path.split("/")',
        'return rank, [x.zfill(9) if x.isdigit() else x for x in field.path.split("/")]',
    ),
    Mutant(
        "keys-compared-without-case",
        "key-order",
        LAYOUT,
        'return rank, field.path.split("/")',
        'return rank, field.path.lower().split("/")',
    ),
    Mutant(
        "keys-in-the-order-of-the-config",
        "key-order",
        LAYOUT,
        "return tuple(sorted(fields, key=by_key))",
        "return tuple(fields)",
    ),
    Mutant(
        "order-by-modality-as-default",
        "key-order",
        CONFIG,
        'key_order: Literal["key", "modality"] = "key"',
        'key_order: Literal["key", "modality"] = "modality"',
    ),
    Mutant(
        "images-before-texts",
        "key-order",
        LAYOUT,
        "    Modality.TEXT: 0,\n    Modality.IMAGE: 1,",
        "    Modality.TEXT: 1,\n    Modality.IMAGE: 0,",
    ),
    Mutant(
        "tensors-column-by-column",
        "row-major",
        TOKENS,
        "numbers[first:last].reshape(last - first, -1)",
        'numbers[first:last].reshape(last - first, -1, order="F")',
    ),
    Mutant(
        "indices-sorted-as-strings",
        "row-major",
        TOKENS,
        "            values = numbers[first:last].reshape(last - first, -1)\n",
        "            values = numbers[first:last].reshape(last - first, -1)\n"
        "            values = values[:, sorted(range(values.shape[1]), key=str)]\n",
    ),
    Mutant(
        "steps-backwards",
        "time-order",
        TOKENS,
        "numbers[first:last].reshape(last - first, -1)",
        "numbers[first:last][::-1].reshape(last - first, -1)",
    ),
    Mutant(
        "separator-before-the-observation",
        "step-order",
        TOKENS,
        "(*layout.observation, None, *layout.action)",
        "(None, *layout.observation, *layout.action)",
    ),
    Mutant(
        "separator-after-the-action",
        "step-order",
        TOKENS,
        "(*layout.observation, None, *layout.action)",
        "(*layout.observation, *layout.action, None)",
    ),
    Mutant(
        "action-before-the-observation",
        "step-order",
        TOKENS,
        "(*layout.observation, None, *layout.action)",
        "(*layout.action, None, *layout.observation)",
    ),
    Mutant(
        "no-separator",
        "step-order",
        TOKENS,
        "        if part is None:\n            return np.array([1])",
        "        if part is None:\n            return np.array([0])",
    ),
    Mutant(
        "actions-never-in-the-context",
        "step-order",
        TOKENS,
        "        if part is None:\n            return np.array(SEPARATOR)",
        "        if part is None or part.is_action:\n            return np.array(SEPARATOR)",
    ),
    Mutant(
        "offsets-without-a-cumulative-sum",
        "step-order",
        TOKENS,
        "np.cumsum(np.broadcast_to(sizes, self.episode.steps), out=starts[1:])",
        "starts[1:] = np.broadcast_to(sizes, self.episode.steps)",
    ),
    Mutant(
        "rewards-become-tokens",
        "not-tokens",
        LAYOUT,
        "dataset.observation or (step_path(OBSERVATION),)",
        'dataset.observation or (step_path(OBSERVATION), "steps/reward")',
    ),
    Mutant(
        "texts-in-the-first-step-by-default",
        "text-every-step",
        CONFIG,
        'text: Literal["every_step", "first_of_window"] = "every_step"',
        'text: Literal["every_step", "first_of_window"] = "first_of_window"',
    ),
    Mutant(
        "first-step-of-a-window-without-its-texts",
        "text-every-step",
        ASSEMBLY,
        "if self.head is not None:",
        "if False:",
    ),
    # Masks.
    Mutant(
        "separator-in-the-loss",
        "loss-mask",
        TOKENS,
        "[part is not None and part.is_target for part in parts]",
        "[part is None or part.is_target for part in parts]",
    ),
    Mutant(
        "observed-text-not-in-the-loss",
        "loss-mask",
        EPISODE,
        "return self.is_action or self.modality == Modality.TEXT",
        "return self.is_action",
    ),
    Mutant(
        "actions-not-in-the-loss",
        "loss-mask",
        EPISODE,
        "return self.is_action or self.modality == Modality.TEXT",
        "return self.modality == Modality.TEXT",
    ),
    Mutant(
        "discrete-observations-in-the-loss",
        "loss-mask",
        EPISODE,
        "return self.is_action or self.modality == Modality.TEXT",
        "return self.is_action or self.modality in (Modality.TEXT, Modality.DISCRETE)",
    ),
    Mutant(
        "images-in-the-loss",
        "loss-mask",
        EPISODE,
        "return self.is_action or self.modality == Modality.TEXT",
        "return self.is_action or self.modality in (Modality.TEXT, Modality.IMAGE)",
    ),
    Mutant("padding-in-the-loss", "padding", ASSEMBLY, '"loss_mask": 0,', '"loss_mask": 1,'),
    Mutant("padding-is-token-zero", "padding", ASSEMBLY, '"tokens": PADDING,', '"tokens": 0,'),
    Mutant(
        "padding-on-the-left",
        "padding",
        ASSEMBLY,
        "        start = 0\n        for size, source in",
        "        start = length - sequence.length\n"
        "        for name, blank in _BLANK.items():\n"
        "            fields[name][row, :start] = blank\n"
        "        for size, source in",
    ),
    Mutant(
        "action-predicted-from-its-own-position",
        "target-shift",
        TARGETS,
        'targets[:-1] = record["tokens"][1:]',
        'targets[:-1] = record["tokens"][:-1]',
    ),
    Mutant(
        "loss-mask-not-shifted",
        "target-shift",
        TARGETS,
        "np.multiply(mask[1:], segment",
        "np.multiply(mask[:-1], segment",
    ),
    Mutant(
        "targets-of-another-window",
        "target-shift",
        BATCHES,
        'write_targets(record, mask, batch["targets"][place]',
        'write_targets(shards.views(rows[0], names), mask, batch["targets"][place]',
    ),
    # Positions.
    Mutant(
        "actions-go-on-counting",
        "action-position",
        TOKENS,
        "np.where(numbers < separator, within, ACTION_POSITION)",
        "np.where(numbers < separator, within, within)",
    ),
    Mutant(
        "actions-without-a-position",
        "action-position",
        TOKENS,
        "np.where(numbers < separator, within, ACTION_POSITION)",
        "np.where(numbers < separator, within, NO_POSITION)",
    ),
    Mutant(
        "action-position-of-an-observation",
        "action-position",
        VOCABULARY,
        "ACTION_POSITION = 512",
        "ACTION_POSITION = 511",
    ),
    Mutant(
        "separator-goes-on-counting",
        "separator-position",
        TOKENS,
        "    position[numbers == separator] = NO_POSITION\n",
        "    position[numbers == separator] = within[numbers == separator]\n",
    ),
    Mutant(
        "separator-shares-the-position-of-actions",
        "separator-position",
        TOKENS,
        "    position[numbers == separator] = NO_POSITION\n",
        "",
    ),
    Mutant(
        "positions-absent",
        "local-positions",
        TOKENS,
        "    position[numbers == separator] = NO_POSITION\n",
        "    position[:] = NO_POSITION\n",
    ),
    Mutant(
        "positions-from-one",
        "local-positions",
        TOKENS,
        "np.where(numbers < separator, within, ACTION_POSITION)",
        "np.where(numbers < separator, within + 1, ACTION_POSITION)",
    ),
    Mutant(
        "positions-not-counted-anew-in-a-step",
        "local-positions",
        TOKENS,
        "within = np.arange(len(numbers)) - np.repeat(np.cumsum(sizes) - sizes, sizes)",
        "within = np.arange(len(numbers))",
    ),
    Mutant(
        "long-observations-in-silence",
        "observation-limit",
        TOKENS,
        "if longest > LOCAL_POSITIONS:",
        "if longest > 2 * LOCAL_POSITIONS:",
    ),
    Mutant(
        "timestep-counted-from-the-stretch",
        "timestep-index",
        TOKENS,
        "np.arange(first, last, dtype=np.int32)",
        "np.arange(last - first, dtype=np.int32)",
    ),
)
