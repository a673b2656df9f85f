"""Mistakes in windows: what a record holds, where it begins, what it leaves out."""

from tests.mutation.mutant import Mutant

TOKENS = "gato_data/sequencing/tokens.py"
ASSEMBLY = "gato_data/sequencing/assembly.py"
WINDOWS = "gato_data/sequencing/windows.py"
CONFIG = "gato_data/config_types.py"
RLDS = "gato_data/readers/rlds.py"

MUTANTS = (
    # What a record holds.
    Mutant(
        "all-rows-are-the-last-one",
        "one-episode",
        ASSEMBLY,
        "for part in sequence.parts for piece in part.pieces())",
        "for part in sequences[-1].parts for piece in part.pieces())",
    ),
    Mutant(
        "patches-without-their-offset",
        "one-episode",
        TOKENS,
        "slice(int(before[start - self.offset]), int(before[stop - self.offset]))",
        "slice(0, int(before[stop - self.offset] - before[start - self.offset]))",
    ),
    Mutant(
        "patch-offsets-without-a-cumulative-sum",
        "one-episode",
        ASSEMBLY,
        "np.concatenate(([0], np.cumsum(images)))",
        "np.concatenate(([0], images))",
    ),
    Mutant(
        "two-windows-in-one-sequence",
        "one-episode",
        ASSEMBLY,
        "    if not sequence.is_packed:\n        return 0\n",
        "    if not sequence.is_packed:\n        return 1\n",
    ),
    # Windows.
    Mutant(
        "sequences-of-512",
        "sequence-length",
        CONFIG,
        "    length: int = 1024\n",
        "    length: int = 512\n",
    ),
    Mutant(
        "last-timestep-in-no-window",
        "window-cover",
        WINDOWS,
        "total, position = steps.tokens, 0",
        "total, position = int(steps.starts[max(1, len(steps.starts) - 2)]), 0",
    ),
    Mutant(
        "tokens-lost-beside-prompts",
        "window-cover",
        WINDOWS,
        "following = position + room\n",
        "following = position + rule.length\n",
    ),
    Mutant(
        "one-token-lost-between-windows",
        "window-cover",
        WINDOWS,
        "following = position + room\n",
        "following = position + room + 1\n",
    ),
    Mutant(
        "one-token-twice-between-windows",
        "window-cover",
        WINDOWS,
        "following = position + room\n",
        "following = position + room - 1\n",
    ),
    Mutant(
        "last-window-padded",
        "window-full",
        WINDOWS,
        "start = max(0, total - room)\n            if rule.aligned:",
        "start = max(0, position)\n            if rule.aligned:",
    ),
    Mutant(
        "short-episode-cut-in-two",
        "window-full",
        WINDOWS,
        "        if number == 0 and total > room:",
        "        room = min(room, total)\n        if number == 0:",
    ),
    Mutant(
        "phase-no-longer-than-the-rest",
        "window-start",
        WINDOWS,
        "position = -int(phase * room)",
        "position = -int(phase * min(room, total - room))",
    ),
    Mutant(
        "no-phase",
        "window-start",
        WINDOWS,
        "position = -int(phase * room)",
        "position = 0",
    ),
    Mutant(
        "same-phase-in-every-pass",
        "window-start",
        WINDOWS,
        'draws.generator(seed, "windows", dataset, episode_id, pass_number)',
        'draws.generator(seed, "windows", dataset, episode_id, 0)',
    ),
    Mutant(
        "last-start-out-of-reach",
        "window-start",
        WINDOWS,
        "return max(0, last) + 1",
        "return max(1, last)",
    ),
    Mutant(
        "windows-at-timesteps-by-default",
        "window-start",
        CONFIG,
        'align: Literal["token", "timestep"] = "token"',
        'align: Literal["token", "timestep"] = "timestep"',
    ),
    Mutant(
        "random-windows-by-length",
        "episode-share",
        WINDOWS,
        "for number in range(rule.per_episode):",
        "for number in range(rule.per_episode + steps.tokens // rule.length):",
    ),
    # The last step.
    Mutant(
        "last-step-kept",
        "last-step",
        RLDS,
        'total if last_step == "keep" else',
        "total if last_step else",
    ),
    Mutant(
        "last-step-kept-by-default",
        "last-step",
        CONFIG,
        'last_step: Literal["drop", "keep"] = "drop"',
        'last_step: Literal["drop", "keep"] = "keep"',
    ),
    Mutant(
        "last-valid-step-dropped-too",
        "last-step",
        RLDS,
        "    return first\n",
        "    return max(1, first - 1)\n",
    ),
    Mutant(
        "truncated-recording-loses-a-step",
        "last-step",
        RLDS,
        "says that its action is missing.\n        return total",
        "says that its action is missing.\n        return total - 1",
    ),
    Mutant(
        "only-the-last-file-is-read",
        "last-step",
        "gato_data/readers/features.py",
        "tuple(names)",
        "tuple(names[-1:])",
    ),
    # Texts that stand once a window.
    Mutant(
        "text-of-a-window-not-in-its-length",
        "text-every-step",
        WINDOWS,
        "room = rule.length - lent.length - lead\n        if number == 0",
        "room = rule.length - lent.length\n        if number == 0",
    ),
    Mutant(
        "text-of-a-random-window-not-in-its-length",
        "text-every-step",
        WINDOWS,
        "room = rule.length - lent.length - lead\n            yield",
        "room = rule.length - lent.length\n            yield",
    ),
    Mutant(
        "text-of-the-step-before",
        "text-every-step",
        WINDOWS,
        "return int(self.leads[np.searchsorted(self.starts, start)])",
        "return int(self.leads[np.searchsorted(self.starts, start) - 1])",
    ),
    Mutant(
        "text-of-a-prompt-not-in-its-length",
        "text-every-step",
        WINDOWS,
        "return Prompt(start, min(start + length - lead, end), from_end, lead)",
        "return Prompt(start, min(start + length, end), from_end, lead)",
    ),
)
