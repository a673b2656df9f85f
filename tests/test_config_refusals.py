"""What a config is refused for, by its sections and as a file, with the line and the key."""

from pathlib import Path

import pytest

from gato_data.config import load_config
from gato_data.errors import UsageError

MINIMAL = "datasets:\n  - name: robot\n    kind: rlds\n    path: data\n"


def refusal(folder: Path, text: str) -> str:
    """The message of the refusal, with the file called a.yaml."""
    (folder / "a.yaml").write_text(text)
    with pytest.raises(UsageError) as raised:
        load_config(str(folder / "a.yaml"))
    return str(raised.value).replace(str(folder / "a.yaml"), "a.yaml")


SIZE = "a number of bytes: an integer above 0, or one with a unit such as 256MiB, 1GiB, 64MB"
PROBABILITY = "a number from 0 to 1: the share of sequences that start with a prompt"
# What stands after MINIMAL's four lines, and the message but for "a.yaml:".
SECTION_REFUSALS = [
    (
        "prompt:\n  probabilty: 0.3\n",
        "6: prompt.probabilty: this key is unknown. Did you mean probability? Known here: "
        "probability, from_end, length, loss.",
    ),
    (
        "\nzzz: 1\n",
        "6: zzz: this key is unknown. Known here: seed, vocabulary, sequence, prompt, output, "
        "limits, mixture, datasets.",
    ),
    (
        "prompt: {probability: 1.5}\n",
        f"5: prompt.probability: found the number 1.5. Expected {PROBABILITY}.",
    ),
    (
        "prompt: {probability: -0.1}\n",
        f"5: prompt.probability: found the number -0.1. Expected {PROBABILITY}.",
    ),
    (
        "prompt: {probability: '0.5'}\n",
        f'5: prompt.probability: found the text "0.5". Expected {PROBABILITY}.',
    ),
    (
        "prompt: {probability: true}\n",
        f"5: prompt.probability: found true. Expected {PROBABILITY}.",
    ),
    (
        "prompt:\n  from_end: [1]\n",
        "6: prompt.from_end: found the list [1]. Expected a number from 0 to 1: the share of "
        "prompts that end where their episode ends.",
    ),
    (
        "prompt: {loss: 1}\n",
        "5: prompt.loss: found the number 1. Expected true (text and actions of a prompt are "
        "targets, as in the paper) or false (nothing of a prompt is).",
    ),
    (
        "prompt:\n",
        "5: prompt: found nothing. Expected a mapping with probability, from_end, length, loss.",
    ),
    (
        "prompt:\n  length: 1024\n",
        "6: prompt.length: prompt.length 1024 leaves no room in sequence.length 1024. Set "
        "prompt.length to 1023 or less, such as 512.",
    ),
    (
        "sequence:\n  length: 256\n",
        "6: sequence.length: prompt.length 512, its default, leaves no room in sequence.length "
        "256. Set prompt.length to 255 or less, such as 128.",
    ),
    (
        "sequence: {length: 1024.0}\n",
        "5: sequence.length: found the number 1024.0. Expected an integer from 2 to 2147483647: "
        "the tokens of a sequence.",
    ),
    (
        "sequence: {length: true}\n",
        "5: sequence.length: found true. Expected an integer from 2 to 2147483647: the tokens of "
        "a sequence.",
    ),
    (
        "sequence:\n  windows: random\n  passes: 0\n",
        "7: sequence.passes: found the number 0. Expected an integer from 1 on: full rounds of "
        "windows over the kept episodes.",
    ),
    (
        "sequence:\n  windows_per_episode: 4\n",
        "6: sequence.windows_per_episode: it has no meaning with `windows: cover`, which takes as "
        "many windows as an episode needs. Remove it, or set `windows: random`.",
    ),
    (
        "sequence: {windows: all}\n",
        '5: sequence.windows: found the text "all". Expected cover (every token of a kept episode '
        "in some window) or random (windows_per_episode of them).",
    ),
    (
        "sequence: {align: step}\n",
        '5: sequence.align: found the text "step". Expected token (a window starts at any token, '
        "as in the paper) or timestep (at the start of one).",
    ),
    (
        "sequence: {key_order: on}\n",
        "5: sequence.key_order: found true. Expected key (keys of a timestep in the order of their "
        "paths) or modality (text, images, then tensors).",
    ),
    *(
        (
            f"vocabulary: {{discrete_offset: {offset}}}\n",
            f"5: vocabulary.discrete_offset: found the number {offset}. Expected 0 (discrete "
            "values share the first text ids, as in the paper) or an integer from 33027 on (they "
            "get ids of their own).",
        )
        for offset in (1, 33_026, -1, 2**32)
    ),
    (
        "vocabulary: {text_model: 3}\n",
        "5: vocabulary.text_model: found the number 3. Expected the path of a SentencePiece model, "
        "relative to the config's folder: needed when any data set has text.",
    ),
    *(
        (
            f"seed: {seed}\n",
            f"5: seed: found the number {seed}. Expected an integer from 0 to 9223372036854775807: "
            "all randomness of the build follows from it.",
        )
        for seed in (-1, 0.5)
    ),
    (
        "seed: 9223372036854775808\n",
        "5: seed: 9223372036854775808 does not fit into 64 bits. Write a smaller number.",
    ),
    (
        "output: {format: parquet}\n",
        '5: output.format: found the text "parquet". Expected arrow or tfrecord.',
    ),
    (
        "output: {shard_size: 1.5GiB}\n",
        f'5: output.shard_size: found the text "1.5GiB". Expected {SIZE}.',
    ),
    ("output: {shard_size: 0}\n", f"5: output.shard_size: found the number 0. Expected {SIZE}."),
    (
        "limits: {record_bytes: 5 parsecs}\n",
        f'5: limits.record_bytes: found the text "5 parsecs". Expected {SIZE}.',
    ),
    *(
        (
            f"mixture: {{steps: {steps}}}\n",
            f"5: mixture.steps: found {found}. Expected an integer from 1 on: the steps of a "
            "training, for which it is told how often each data set is repeated.",
        )
        for steps, found in [("0", "the number 0"), ("1e6", "the number 1000000.0")]
    ),
    (
        "mixture: {batch_size: many}\n",
        '5: mixture.batch_size: found the text "many". Expected an integer from 1 on: the '
        "sequences of a batch of that training.",
    ),
    (
        "mixture: {epochs: 3}\n",
        "5: mixture.epochs: this key is unknown. Known here: steps, batch_size.",
    ),
    (
        "limits: {quarantine_share: 2}\n",
        "5: limits.quarantine_share: found the number 2. Expected a number from 0 to 1: the share "
        "of unusable records above which the build fails.",
    ),
]

NAME = (
    "lower-case letters, digits and underscores, first a letter, 100 at most: it names files and "
    "folders, by the rule of TensorFlow Datasets"
)
# Whole files, and the message but for "a.yaml:".
FILE_REFUSALS = [
    ("", "1: found nothing. Expected a mapping with at least `datasets`."),
    ("# nothing\n\n", "1: found nothing. Expected a mapping with at least `datasets`."),
    ("\n- a\n", '2: found the list ["a"]. Expected a mapping with at least `datasets`.'),
    ("seed: 1\n", "1: the key datasets is missing. Expected a mapping with at least `datasets`."),
    (
        "seed: 1\ndatasets: []\n",
        "2: datasets: found the list []. Expected a list of one or more data sets, each with name, "
        "kind, and path or tfds.",
    ),
    (
        "datasets:\n  - kind: rlds\n    path: a\n",
        "2: datasets[0]: the key name is missing. Expected a mapping with at least name, kind, and "
        "path or tfds.",
    ),
    (
        "datasets:\n  - kind: rlds\n    name: a\n",
        "2: datasets[0]: neither path nor tfds is given. Say where the data set lies by one.",
    ),
    (
        "datasets:\n  - kind: rlds\n    name: a\n    tfds: a:b\n",
        '4: datasets[0].tfds: found the text "a:b". Expected a prepared TFDS data set as name, '
        "name/config, name:1.0.0 or name/config:1.0.0.",
    ),
    *(
        (
            f"datasets:\n  - {{kind: rlds, path: a,\n     name: {name}}}\n",
            f"3: datasets[0].name: found {found}. Expected {NAME}.",
        )
        for name, found in [
            ("Bridge V2", 'the text "Bridge V2"'),
            ("../a", 'the text "../a"'),
            ("a-b", 'the text "a-b"'),
            ("1a", 'the text "1a"'),
            ("2024-01-01", 'the text "2024-01-01"'),
            ("7", "the number 7"),
        ]
    ),
    (
        "datasets:\n  - name: a\n    kind: lerobot\n    path: a\n",
        '3: datasets[0].kind: found the text "lerobot". Expected rlds (a TFDS directory of RLDS '
        "episodes), minari (a folder that Minari wrote), or a corpus: image_text, "
        "question_answer, text, interleaved.",
    ),
    (
        "datasets:\n  - {name: a, kind: rlds, path: a}\n\n  - {name: a, kind: rlds, path: b}\n",
        "4: datasets[1].name: datasets[0] has the name a already. Give each its own.",
    ),
    (
        "seed: 1\nseed: 2\n" + MINIMAL,
        "2: seed: the key is given twice, first in line 1. Remove one of the two.",
    ),
    (MINIMAL + "off: 1\n", "5: `off` (bool) is no key. Keys are texts."),
    (MINIMAL + "<<: 3\n", "5: << takes a mapping, or a list of mappings."),
    (
        MINIMAL + "seed: 010\n",
        "5: seed: 010 is no decimal number. Write it with the digits 0 to 9.",
    ),
    (
        MINIMAL + "seed: 1:30\n",
        "5: seed: 1:30 is no decimal number. Write it with the digits 0 to 9.",
    ),
    *(
        (
            f"{MINIMAL}    weight: {number}\n",
            f"5: datasets[0].weight: {number} is no finite decimal number. Write one such as 0.25.",
        )
        for number in (".nan", ".inf", "-.inf", "1e999", "1:30.5")
    ),
    (
        MINIMAL + '    split: "a\\nb"\n',
        "5: datasets[0].split: 'a\\nb' has a line break or another control character. Write one "
        "line.",
    ),
    (
        MINIMAL + "seed: !!python/object/apply:os.getpid []\n",
        "5: seed: the tag tag:yaml.org,2002:python/object/apply:os.getpid is not read here. Remove "
        "it.",
    ),
    (
        MINIMAL + "seed: !!binary aGVsbG8=\n",
        "5: seed: 'aGVsbG8=' as tag:yaml.org,2002:binary is not read here. Write it plainly.",
    ),
    (
        "seed: 1\ndatasets: [a\n",
        "3: this is not valid YAML: while parsing a flow sequence expected ',' or ']', but got "
        "'<stream end>'.",
    ),
    (
        "seed: 1\n---\nseed: 2\n",
        "2: this is not valid YAML: expected a single document in the stream but found another "
        "document.",
    ),
    ("seed: *a\n", "1: this is not valid YAML: found undefined alias 'a'."),
    ("seed: 1\na: \x07\n", "2: the character here is not allowed in YAML."),
    ('seed: 1\na: "\\U00110000"\n', "2: this is not valid YAML: an escape or directive."),
]


class TestRefusals:
    @pytest.mark.parametrize(("text", "message"), SECTION_REFUSALS)
    def test_of_a_section(self, tmp_path: Path, text: str, message: str) -> None:
        assert refusal(tmp_path, MINIMAL + text) == f"a.yaml:{message}"

    @pytest.mark.parametrize(("text", "message"), FILE_REFUSALS)
    def test_of_a_file(self, tmp_path: Path, text: str, message: str) -> None:
        assert refusal(tmp_path, text) == f"a.yaml:{message}"

    def test_each_problem_comes_once(self, tmp_path: Path) -> None:
        message = refusal(tmp_path, "datasets:\n  - path: a\n    image_size: [-8, 16]\n")
        assert [line.split(" Expected")[0] for line in message.splitlines()] == [
            "a.yaml:2: datasets[0]: the key name is missing.",
            "a.yaml:2: datasets[0]: the key kind is missing.",
            "a.yaml:3: datasets[0].image_size[0]: found the number -8.",
        ]

    def test_all_problems_come_at_once_in_the_order_of_the_file(self, tmp_path: Path) -> None:
        message = refusal(
            tmp_path,
            "seed: -1\nprompt:\n  length: 2048\n  los: true\n"
            "datasets:\n  - {name: a, kind: rlds, path: a, image_size: [1024, 1024]}\n"
            "  - {name: b, kind: rlds}\n  - name: A\n    kind: images\n    path: .nan\n",
        )
        places = [line.split(" ")[:2] for line in message.splitlines()]
        assert places == [
            ["a.yaml:1:", "seed:"],
            ["a.yaml:4:", "prompt.los:"],
            ["a.yaml:6:", "datasets[0].image_size:"],
            ["a.yaml:7:", "datasets[1]:"],
            ["a.yaml:8:", "datasets[2].name:"],
            ["a.yaml:9:", "datasets[2].kind:"],
            ["a.yaml:10:", "datasets[2].path:"],
        ]

    def test_ten_problems_are_shown(self, tmp_path: Path) -> None:
        lines = refusal(tmp_path, MINIMAL + "".join(f"x{i}: 1\n" for i in range(13))).splitlines()
        assert len(lines) == 11
        assert lines[9].startswith("a.yaml:14: x9: this key is unknown.")
        assert lines[10] == "a.yaml: and 3 more."

    def test_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError) as raised:
            load_config(str(tmp_path / "b.yaml"))
        assert str(raised.value) == (
            f"{tmp_path}/b.yaml: there is no such file. Name the YAML file of a config."
        )

    def test_a_folder(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"cannot be read: .*directory"):
            load_config(str(tmp_path))

    def test_an_unknown_scheme(self) -> None:
        with pytest.raises(UsageError, match=r"nowhere://a\.yaml: this kind of address"):
            load_config("nowhere://a.yaml")

    def test_another_encoding(self, tmp_path: Path) -> None:
        (tmp_path / "a.yaml").write_bytes("seed: 1\n# é\n".encode("latin-1"))
        with pytest.raises(UsageError, match=r"a\.yaml:2: this is no UTF-8 text"):
            load_config(str(tmp_path / "a.yaml"))
