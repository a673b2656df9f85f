"""Mistakes in the sequences of corpora: pairs, documents and packs."""

from tests.mutation.mutant import Mutant

CONFIG = "gato_data/config_types.py"
PAIRS = "gato_data/sequencing/pairs.py"
PACKING = "gato_data/sequencing/packing.py"
DOCUMENTS = "gato_data/sequencing/documents.py"
KINDS = "gato_data/readers/corpora/kinds.py"
SEQUENCES = "gato_data/building/corpus_sequences.py"

MUTANTS = (
    Mutant(
        "one-pair-in-a-sequence",
        "five-pairs",
        PAIRS,
        "range(0, len(ordered), size)]",
        "range(len(ordered))]",
    ),
    Mutant(
        "last-group-left-out",
        "five-pairs",
        PAIRS,
        "range(0, len(ordered), size)]",
        "range(0, len(ordered) - size + 1, size)]",
    ),
    Mutant(
        "last-group-not-filled",
        "five-pairs",
        PAIRS,
        "itertools.islice(again, size - len(groups[-1]))",
        "itertools.islice(again, 0)",
    ),
    Mutant(
        "pairs-in-the-order-of-the-file",
        "pair-sampling",
        PAIRS,
        "sorted(range(len(ids)), key=order)",
        "list(range(len(ids)))",
    ),
    Mutant(
        "the-same-groups-in-each-pass",
        "pair-sampling",
        PAIRS,
        'draws.sort_key(seed, "pairs", dataset, pass_number, ids[number])',
        'draws.sort_key(seed, "pairs", dataset, ids[number])',
    ),
    Mutant(
        "groups-cut-at-the-end",
        "pair-crop",
        PAIRS,
        "* (excess + 1))",
        "* 0)",
    ),
    Mutant(
        "last-offset-never-drawn",
        "pair-crop",
        PAIRS,
        "* (excess + 1))",
        "* max(1, excess))",
    ),
    Mutant(
        "first-caption-always",
        "several-captions",
        PAIRS,
        "dataset, record, pass_number) * count)",
        "dataset, record, pass_number) * 0)",
    ),
    Mutant(
        "the-same-caption-in-each-pass",
        "several-captions",
        PAIRS,
        'draws.uniform(seed, "alternative", dataset, record, pass_number)',
        'draws.uniform(seed, "alternative", dataset, record)',
    ),
    Mutant(
        "text-before-the-image",
        "image-before-text",
        KINDS,
        "Document((picture, *texts))",
        "Document((*texts, picture))",
    ),
    Mutant(
        "question-without-its-template",
        "pair-templates",
        KINDS,
        'asked = before.replace("{question}", question)',
        "asked = question",
    ),
    Mutant(
        "space-before-the-answer-lost",
        "pair-templates",
        KINDS,
        "return before, template[len(before) :]",
        "return before, template[place:]",
    ),
    Mutant(
        "question-never-in-the-loss",
        "corpus-loss",
        KINDS,
        'is_target = dataset.loss == "all_text"',
        "is_target = False",
    ),
    Mutant(
        "images-of-corpora-in-the-loss",
        "corpus-loss",
        DOCUMENTS,
        "            targets = is_text.astype(np.uint8)\n",
        "",
    ),
    Mutant(
        "text-of-corpora-not-in-the-loss",
        "corpus-loss",
        DOCUMENTS,
        "targets = is_text.astype(np.uint8)",
        "targets = 0",
    ),
    Mutant(
        "no-end-of-a-document",
        "document-end",
        DOCUMENTS,
        "np.concatenate([*parts, [end]], out=ids",
        "np.concatenate([*parts, [0]], out=ids",
    ),
    Mutant(
        "images-after-all-text",
        "document-order",
        DOCUMENTS,
        "    for part in document.parts:\n"
        "        if isinstance(part, Text):\n            parts.append",
        "    for part in sorted(document.parts, key=lambda x: not isinstance(x, Text)):\n"
        "        if isinstance(part, Text):\n            parts.append",
    ),
    Mutant(
        "images-left-out-of-pages",
        "document-order",
        KINDS,
        "        elif image is not None:\n            parts.append(_picture(image))\n",
        "",
    ),
    Mutant(
        "local-positions-in-documents",
        "corpus-positions",
        DOCUMENTS,
        '"loss_mask": targets}',
        '"loss_mask": targets, "local_position": np.arange(len(ids), dtype=np.int16)}',
    ),
    Mutant(
        "timesteps-in-documents",
        "corpus-positions",
        DOCUMENTS,
        '"loss_mask": targets}',
        '"loss_mask": targets, "timestep": 0}',
    ),
    Mutant(
        "pictures-stretched",
        "corpus-images",
        DOCUMENTS,
        "image.fit(picture.pixels(), self.size, self.policy, keep_aspect=True)",
        "image.fit(picture.pixels(), self.size, self.policy)",
    ),
    Mutant(
        "documents-cut-off-at-the-length",
        "document-windows",
        SEQUENCES,
        "    for window in cut:\n",
        "    for window in cut[:1]:\n",
    ),
    Mutant(
        "long-documents-taken-for-short-ones",
        "document-windows",
        SEQUENCES,
        'if rule.mode == "cover" and size <= rule.length:',
        'if rule.mode == "cover":',
    ),
    Mutant(
        "packed-without-looking",
        "packing",
        PACKING,
        "bisect.bisect_left(rooms, (sizes[number], 0))",
        "0 if rooms and rooms[0][0] >= sizes[number] else len(rooms)",
    ),
    Mutant(
        "the-same-packs-in-each-pass",
        "packing",
        PACKING,
        'draws.sort_key(seed, "pack", dataset, pass_number, ids[number])',
        'draws.sort_key(seed, "pack", dataset, ids[number])',
    ),
)
