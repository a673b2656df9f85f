"""Mistakes in the order, in what makes a batch, and in going on from a state."""

from tests.mutation.mutant import Mutant

CHOICE = "gato_data/loading/choice.py"
ORDER = "gato_data/loading/order.py"
PARTS = "gato_data/loading/parts.py"
PERMUTATION = "gato_data/loading/permutation.py"
PLANNING = "gato_data/loading/planning.py"
SOURCES = "gato_data/loading/sources.py"
STREAM = "gato_data/loading/stream.py"
HOSTS = "gato_data/loading/hosts.py"
LOADER = "gato_data/loading/loader.py"
BATCHES = "gato_data/loading/batches.py"
POSITIONS = "gato_data/loading/patch_positions.py"
TARGETS = "gato_data/loading/targets.py"

MUTANTS = (
    # Weights.
    Mutant(
        "weights-of-sizes",
        "mixture-weights",
        PARTS,
        "found.append(Part(source.weight, rounds))",
        "found.append(Part(float(sum(map(len, rounds))), rounds))",
    ),
    Mutant(
        "every-data-set-as-likely",
        "mixture-weights",
        CHOICE,
        "self._shares = values / values.sum()",
        "self._shares = np.full(len(values), 1 / len(values))",
    ),
    Mutant(
        "quotas-instead-of-draws",
        "mixture-weights",
        CHOICE,
        "return chance, chance.multinomial(BLOCK, self._shares)",
        "ends = np.round(np.cumsum([0, *self._shares]) * BLOCK)\n"
        "        return chance, np.diff(ends).astype(np.int64)",
    ),
    Mutant(
        "data-sets-in-runs",
        "mixture-weights",
        CHOICE,
        "shuffled = parts[order]",
        "shuffled = parts[np.sort(order)]",
    ),
    Mutant(
        "turns-counted-from-each-block",
        "mixture-weights",
        CHOICE,
        "self._cached = block, shuffled, earlier + before[shuffled]",
        "self._cached = block, shuffled, earlier",
    ),
    Mutant(
        "share-of-a-directory-not-divided",
        "mixture-weights",
        SOURCES,
        "share * weight / total",
        "share * weight",
    ),
    Mutant(
        "tasks-by-their-sizes",
        "episode-share",
        PARTS,
        "source.weight / len(tasks),\n",
        "float(sum(len(x) for (of, _), y in members.items() if of == task for x in y)),\n",
    ),
    Mutant(
        "whole-weight-for-each-task",
        "episode-share",
        PARTS,
        "            source.weight / len(tasks),\n",
        "            source.weight,\n",
    ),
    Mutant(
        "all-sequences-of-a-shard-for-each-task",
        "episode-share",
        PARTS,
        "is_own = True if entry.sequence_tasks is None else entry.sequence_tasks == place",
        "is_own = True",
    ),
    # Order.
    Mutant(
        "drawn-with-replacement",
        "epoch-order",
        ORDER,
        "return np.asarray(self.members[order(places)])",
        "chance = draws.generator(self.seed, self.name, epoch)\n"
        "        return np.asarray(self.members[chance.integers(0, len(self), len(places))])",
    ),
    Mutant(
        "the-same-order-in-each-epoch",
        "epoch-order",
        ORDER,
        'order = _permutation(len(self), self.seed, "load", self.name, epoch)',
        'order = _permutation(len(self), self.seed, "load", self.name, 0)',
    ),
    Mutant(
        "no-shuffling",
        "epoch-order",
        ORDER,
        "return np.asarray(self.members[order(places)])",
        "return np.asarray(self.members[places])",
    ),
    Mutant(
        "passes-mixed",
        "epoch-order",
        PARTS,
        "passes[entry.pass_number].append",
        "passes[0].append",
    ),
    Mutant(
        "the-first-pass-alone",
        "epoch-order",
        PARTS,
        "for number, runs in sorted(passes.items()))",
        "for number, runs in sorted(passes.items())[:1])",
    ),
    Mutant(
        "left-the-range-once-more",
        "epoch-order",
        PERMUTATION,
        "while outside.any():",
        "if outside.any():",
    ),
    Mutant(
        "few-rounds-of-the-network",
        "epoch-order",
        PERMUTATION,
        "_ROUNDS = 8",
        "_ROUNDS = 1",
    ),
    Mutant(
        "shards-never-change-places",
        "epoch-order",
        ORDER,
        'order = draws.generator(seed, "load shards", name, epoch).permutation(len(shards.counts))',
        "order = np.arange(len(shards.counts))",
    ),
    Mutant(
        "the-last-batch-of-an-epoch-never-made",
        "epoch-order",
        PLANNING,
        "if not (self._drop_last and is_last and filling.free):",
        "if not (is_last and filling.free):",
    ),
    # Patches in a room of fixed size.
    Mutant(
        "who-does-not-fit-is-dropped",
        "patch-room",
        PLANNING,
        "self._waiting += [one for one in fresh if not filling.add(one)]",
        "_ = [one for one in fresh if not filling.add(one)]",
    ),
    Mutant(
        "who-waits-longest-comes-last",
        "patch-room",
        PLANNING,
        "[one for one in self._waiting if not filling.add(one)]",
        "[one for one in self._waiting[::-1] if not filling.add(one)][::-1]",
    ),
    Mutant(
        "room-is-never-used-up",
        "patch-room",
        PLANNING,
        "        self._left[shard] -= one.images\n",
        "",
    ),
    Mutant(
        "text-goes-where-images-would-fit",
        "patch-room",
        PLANNING,
        "return min(open_shards, key=lambda shard: self._left[shard])",
        "return max(open_shards, key=lambda shard: self._left[shard])",
    ),
    Mutant(
        "patches-counted-over-all-blocks",
        "patch-room",
        BATCHES,
        "index = np.arange(used.sum()) - np.repeat(np.cumsum(used) - used, used)",
        "index = np.arange(used.sum())",
    ),
    # Going on.
    Mutant(
        "state-forgets-who-waits",
        "exact-resume",
        STREAM,
        "waiting = [position.place - place for place in position.waiting]",
        "waiting: list[int] = []",
    ),
    Mutant(
        "state-of-the-batch-before",
        "exact-resume",
        PLANNING,
        "        self._place, self._batches = position.place, position.batches\n",
        "        self._place, self._batches = max(position.place - 1, 0), position.batches\n",
    ),
    Mutant(
        "hosts-take-rows-in-turn",
        "exact-resume",
        HOSTS,
        "return slice(self.index * share, (self.index + 1) * share)",
        "return slice(self.index, share * self.count, self.count)",
    ),
    Mutant(
        "every-host-takes-the-first-slice",
        "exact-resume",
        HOSTS,
        "return slice(self.index * share, (self.index + 1) * share)",
        "return slice(0, share)",
    ),
    Mutant(
        "a-block-depends-on-where-one-enters",
        "exact-resume",
        CHOICE,
        "for number in range(self._block, block):",
        "for number in range(self._block + 1, block):",
    ),
    # Positions of patches, and loss.
    Mutant(
        "positions-drawn-once-for-all-epochs",
        "patch-index",
        POSITIONS,
        "state = mix(state + epochs.astype(np.uint64))",
        "state = mix(state)",
    ),
    Mutant(
        "row-and-column-of-one-draw",
        "patch-index",
        POSITIONS,
        "return (bits >> _HALF) * _UNIT, bits.astype(np.uint32) * _UNIT",
        "return (bits >> _HALF) * _UNIT, (bits >> _HALF) * _UNIT",
    ),
    Mutant(
        "positions-drawn-in-evaluation",
        "patch-index",
        LOADER,
        'is_drawn = split == "train" if training is None else training',
        "is_drawn = True",
    ),
    Mutant(
        "positions-fixed-in-training",
        "patch-index",
        LOADER,
        'is_drawn = split == "train" if training is None else training',
        "is_drawn = False",
    ),
    Mutant(
        "a-document-foretells-the-next",
        "target-shift",
        TARGETS,
        "np.multiply(mask[1:], segment[1:] == segment[:-1], out=loss[:-1])",
        "loss[:-1] = mask[1:]",
    ),
    Mutant(
        "loss-of-prompts-as-built",
        "prompt-loss",
        TARGETS,
        "if self.prompt is not None:",
        "if self.prompt is not None and False:",
    ),
    Mutant(
        "images-of-prompts-in-the-loss",
        "prompt-loss",
        TARGETS,
        "(is_text | is_action)[prompt] if self.prompt else 0",
        "int(self.prompt)",
    ),
    Mutant(
        "text-without-loss-takes-actions-along",
        "loss-mask",
        TARGETS,
        "            found[is_text] = 0\n",
        "            found[:] = 0\n",
    ),
)
