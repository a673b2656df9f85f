"""Mistakes in prompts: how often, from where, from whom."""

from tests.mutation.mutant import Mutant

PROMPTS = "gato_data/sequencing/prompts.py"
WINDOWS = "gato_data/sequencing/windows.py"
ASSEMBLY = "gato_data/sequencing/assembly.py"
EPISODES = "gato_data/building/episode_sequences.py"
UNITS = "gato_data/building/units.py"
CONFIG = "gato_data/config_types.py"
GROUP = "return (tasks[kept] * len(names) + agents[kept]) * 2 + is_validation"

MUTANTS = (
    # How often.
    Mutant(
        "prompt-share-of-half",
        "prompt-share",
        CONFIG,
        "probability: float = 0.25",
        "probability: float = 0.5",
    ),
    Mutant(
        "three-quarters-prompted",
        "prompt-share",
        WINDOWS,
        "if row[IS_PROMPTED] >= rule.probability:",
        "if row[IS_PROMPTED] < rule.probability:",
    ),
    Mutant(
        "every-sequence-prompted",
        "prompt-share",
        WINDOWS,
        "if row[IS_PROMPTED] >= rule.probability:",
        "if not rule.probability:",
    ),
    Mutant(
        "a-third-prompted",
        "prompt-share",
        WINDOWS,
        "if row[IS_PROMPTED] >= rule.probability:",
        "if row[IS_PROMPTED] >= 1.2 * rule.probability:",
    ),
    # From where.
    Mutant(
        "end-and-uniform-swapped",
        "prompt-ends",
        WINDOWS,
        "if not from_end:",
        "if from_end:",
    ),
    Mutant(
        "always-from-the-end",
        "prompt-ends",
        WINDOWS,
        "bool(row[FROM_END] < rule.from_end)",
        "bool(row[FROM_END] < 1)",
    ),
    Mutant(
        "from-end-by-default",
        "prompt-ends",
        CONFIG,
        "from_end: float = 0.5",
        "from_end: float = 1.0",
    ),
    Mutant(
        "one-draw-for-two-questions",
        "prompt-ends",
        WINDOWS,
        "IS_PROMPTED, FROM_END, PROMPT_START, WINDOW_START = range(4)",
        "IS_PROMPTED, FROM_END, PROMPT_START, WINDOW_START = 0, 0, 2, 3",
    ),
    Mutant(
        "prompts-are-beginnings",
        "prompt-ends",
        WINDOWS,
        "start = donor.draw_start(draw, length, rule.aligned)",
        "start = 0",
    ),
    Mutant(
        "uniform-start-by-the-window's-draw",
        "prompt-ends",
        WINDOWS,
        "float(row[PROMPT_START])",
        "float(row[FROM_END])",
    ),
    # How long.
    Mutant(
        "prompt-longer-than-asked",
        "prompt-length",
        WINDOWS,
        "length, end = rule.prompt_length, donor.tokens",
        "length, end = rule.prompt_length + 1, donor.tokens",
    ),
    Mutant(
        "prompts-of-256-by-default",
        "prompt-length",
        CONFIG,
        "    length: int = 512\n",
        "    length: int = 256\n",
    ),
    Mutant(
        "prompt-grows-the-sequence",
        "prompt-length",
        WINDOWS,
        "        # What is left for tokens of the stream.\n"
        "        room = rule.length - lent.length - lead",
        "        room = rule.length - lead",
    ),
    Mutant(
        "prompt-after-the-window",
        "prompt-loss",
        EPISODES,
        "parts=(*((prompt,) if prompt else ()), _excerpt(episode, window, tokens)),",
        "parts=(_excerpt(episode, window, tokens), *((prompt,) if prompt else ())),",
    ),
    Mutant(
        "no-loss-on-prompts",
        "prompt-loss",
        ASSEMBLY,
        "if not prompt_loss:",
        "if True:",
    ),
    Mutant(
        "no-loss-on-prompts-by-default",
        "prompt-loss",
        CONFIG,
        "    loss: bool = True",
        "    loss: bool = False",
    ),
    # From whom.
    Mutant(
        "prompt-from-the-same-episode",
        "prompt-donor",
        PROMPTS,
        "steps = np.arange(1, DONOR_TRIES + 1)",
        "steps = np.arange(DONOR_TRIES)",
    ),
    Mutant(
        "lonely-episode-lends-to-itself",
        "prompt-donor",
        PROMPTS,
        "return np.where(steps < sizes, lenders, -1)",
        "return np.where(steps <= sizes, lenders, -1)",
    ),
    Mutant(
        "prompt-from-another-task",
        "prompt-donor",
        UNITS,
        GROUP,
        "return agents[kept] * 2 + is_validation",
    ),
    Mutant(
        "prompt-from-another-agent",
        "prompt-donor",
        UNITS,
        GROUP,
        "return tasks[kept] * 2 + is_validation",
    ),
    Mutant(
        "prompt-from-another-split",
        "prompt-donor",
        UNITS,
        GROUP,
        "return tasks[kept] * len(names) + agents[kept]",
    ),
    Mutant(
        "window-lends-to-itself",
        "prompt-donor",
        EPISODES,
        "_Lender(context, donor)",
        "_Lender(context, donor and row)",
    ),
    Mutant(
        "every-prompt-from-one-donor",
        "prompt-circle",
        PROMPTS,
        "(places[:, np.newaxis] - starts + steps) % sizes",
        "steps % sizes",
    ),
    Mutant(
        "donors-in-the-order-of-names",
        "prompt-circle",
        PROMPTS,
        "order = np.lexsort((keys[:, 1], keys[:, 0], groups))",
        "order = np.lexsort((episodes, groups))",
    ),
    Mutant(
        "same-circle-in-every-pass",
        "prompt-circle",
        PROMPTS,
        "((dataset, pass_number, name) for name in episode_ids)",
        "((dataset, 0, name) for name in episode_ids)",
    ),
)
