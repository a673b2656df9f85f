"""The filter section of a config: what it means, what is refused, and files of numbers by task."""

import json
import pickle
from pathlib import Path
from typing import Any

import fsspec
import jsonschema
import pytest

from gato_data.config import (
    Config,
    FilterConfig,
    FilterRule,
    config_from_json,
    load_config,
)
from gato_data.config_reading import MAX_BYTES
from gato_data.errors import UsageError
from gato_data.schema_files import read_schema
from tests.test_config_refusals import MINIMAL, refusal

# Without a task of its own, the data set of MINIMAL has one, by its name: robot.
MANY = f"{MINIMAL}    task: steps/task\n"
RETURN_TEXT = "a number, a mapping from tasks to numbers, or a JSON or YAML file of one"


def load(folder: Path, text: str, data_set: str = MANY) -> FilterConfig | None:
    path = folder / "a.yaml"
    path.write_text(f"{data_set}    filter: {text}\n")
    return load_config(str(path)).datasets[0].filter


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{relative_to_random: -20}", FilterConfig(relative_to_random=-20.0)),
        (
            "{relative_to_random: {a: -1, b: 2.5}, estimator: top_mean}",
            FilterConfig(relative_to_random={"a": -1.0, "b": 2.5}, estimator="top_mean"),
        ),
        ("{expert_returns: 9}", FilterConfig(expert_returns=9.0)),
        (
            "{expert_returns: {a: 1e3}, relative_to_random: 0, expert_return_share: 0.5}",
            FilterConfig(0.5, expert_returns={"a": 1000.0}, relative_to_random=0.0),
        ),
        ("{successes_only: true}", FilterConfig(successes_only=True)),
        (
            "{successes_only: steps/is_success, order_by: episode_metadata/index}",
            FilterConfig(successes_only="steps/is_success", order_by="episode_metadata/index"),
        ),
        (
            "{successes_only: episode_metadata/ok}",
            FilterConfig(successes_only="episode_metadata/ok"),
        ),
        ("{top_k: 1}", FilterConfig(top_k=1)),
        ("{tasks: {}}", FilterConfig()),
        (
            "{top_k: 5, tasks: {a: off, 'b c': {top_k: 2}, d: {}, e: false}}",
            FilterConfig(
                top_k=5,
                tasks={"a": None, "b c": FilterRule(top_k=2), "d": FilterRule(), "e": None},
            ),
        ),
        # null and false are as good as absent.
        (
            "{top_k: null, successes_only: false, relative_to_random: null, expert_returns: null}",
            FilterConfig(),
        ),
        ("{top_k: 3, successes_only: false, expert_returns: null}", FilterConfig(top_k=3)),
    ],
)
def test_values_and_the_json_of_the_manifest(
    tmp_path: Path, text: str, expected: FilterConfig
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{MANY}    filter: {text}\n")
    config = load_config(str(path))
    assert config.datasets[0].filter == expected
    plain = config.to_json()
    jsonschema.validate(plain, read_schema("config.schema.json"))
    again = config_from_json(json.loads(json.dumps(plain)))
    assert again == config
    assert again.to_json() == plain
    assert hash(again) == hash(config)
    assert pickle.loads(pickle.dumps(config)) == config


def test_numbers_are_floats(tmp_path: Path) -> None:
    found = load(tmp_path, "{expert_returns: {a: 1}, relative_to_random: -2}")
    assert found is not None
    assert isinstance(found.expert_returns, dict)
    assert type(found.expert_returns["a"]) is float
    assert type(found.relative_to_random) is float


@pytest.mark.parametrize(
    ("text", "absent"),
    [
        ("{top_k: 3}", {"expert_return_share", "estimator"}),
        ("{successes_only: true}", {"expert_return_share", "estimator"}),
        ("{expert_returns: 3}", {"estimator"}),
        ("{relative_to_random: 3}", set()),
    ],
)
def test_the_json_leaves_out_what_has_no_meaning(
    tmp_path: Path, text: str, absent: set[str]
) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(f"{MANY}    filter: {text}\n")
    written = load_config(str(path)).to_json()["datasets"][0]["filter"]
    every = set(
        read_schema("config.schema.json")["$defs"]["dataset"]["properties"]["filter"]["properties"]
    )
    assert every - set(written) == absent


def test_the_rule_of_a_task() -> None:
    own = FilterRule(successes_only="steps/own")
    wanted = FilterConfig(
        successes_only="steps/usual", tasks={"a": own, "b": None, "c": FilterRule(top_k=1)}
    )
    assert wanted.rule_of("a") is own
    assert wanted.rule_of("b") is None
    assert wanted.rule_of("z") is wanted
    assert [wanted.success_field(task) for task in "abcz"] == [
        "steps/own", None, None, "steps/usual",
    ]  # fmt: skip
    assert FilterConfig(successes_only=True).success_field("a") is None
    assert list(wanted.rules) == ["filter", "filter.tasks.a", "filter.tasks.c"]


NO_MEANING = "it has no meaning with {}, which decides alone what is kept. Remove one of the two."
REFUSALS = [
    (
        "relative_to_random: true",
        "relative_to_random: found true. Expected the return of a random policy, from which the "
        f"share is counted: {RETURN_TEXT}.",
    ),
    (
        "expert_returns: [1]",
        "expert_returns: found the list [1]. Expected the expert return where it is known: "
        f"{RETURN_TEXT}.",
    ),
    (
        "expert_returns: {}",
        "expert_returns: found the mapping {}. Expected the expert return where it is known: "
        f"{RETURN_TEXT}.",
    ),
    (
        "expert_returns: {a: high}",
        'expert_returns.a: found the text "high". Expected a number: the return of one task.',
    ),
    (
        "relative_to_random: {a: .nan}",
        "relative_to_random.a: .nan is no finite decimal number. Write one such as 0.25.",
    ),
    (
        "successes_only: 1",
        "successes_only: found the number 1. Expected true (an episode is kept if its return is "
        "above 0), the path of a field that marks success, such as steps/is_success, or false.",
    ),
    (
        "successes_only: /steps/ok",
        'successes_only: found the text "/steps/ok". Expected true (an episode is kept if its '
        "return is above 0), the path of a field that marks success, such as steps/is_success, or "
        "false.",
    ),
    *(
        (
            f"top_k: {value}",
            f"top_k: found the {kind} {value}. Expected an integer from 1 on: how many best "
            "episodes of each task are kept.",
        )
        for value, kind in [("0", "number"), ("-1", "number"), ("2.0", "number"), ("[3]", "list")]
    ),
    (
        "tasks: {a: on}",
        "tasks.a: found true. Expected a mapping with expert_return_share, estimator, "
        "relative_to_random, expert_returns, successes_only, top_k, or off.",
    ),
    (
        "tasks: {a: {order_by: steps/n}}",
        "tasks.a.order_by: this key is unknown. Known here: expert_return_share, estimator, "
        "relative_to_random, expert_returns, successes_only, top_k.",
    ),
    (
        "tasks: {a: {tasks: {}}}",
        "tasks.a.tasks: this key is unknown. Known here: expert_return_share, estimator, "
        "relative_to_random, expert_returns, successes_only, top_k.",
    ),
    (
        "tasks: [a]",
        'tasks: found the list ["a"]. Expected a mapping from tasks to rules of their own, in '
        "place of the data set's.",
    ),
    ("top_k: 3, successes_only: true", "top_k: " + NO_MEANING.format("successes_only")),
    ("top_k: 3, successes_only: steps/a", "top_k: " + NO_MEANING.format("successes_only")),
    *(
        (f"{decisive}, {key}: {value}", f"{key}: {NO_MEANING.format(decisive.split(':')[0])}")
        for decisive in ("top_k: 3", "successes_only: true")
        for key, value in [
            ("expert_return_share", "0.8"),
            ("estimator", "window"),
            ("relative_to_random", "0"),
            ("expert_returns", "{a: 1}"),
        ]
    ),
    (
        "expert_returns: 3, estimator: window",
        "estimator: it has no meaning with expert_returns, which give what it would estimate. "
        "Remove it, or estimate under filter.tasks where no value is known.",
    ),
    (
        "top_k: 2, tasks: {a: {top_k: 2, expert_returns: 1}}",
        "tasks.a.expert_returns: " + NO_MEANING.format("top_k"),
    ),
    (
        "tasks: {a: {expert_returns: {b: 1}}}",
        "tasks.a.expert_returns: it has no value for the task 'a', the only one here.",
    ),
]


@pytest.mark.parametrize(("text", "message"), REFUSALS)
def test_refusals(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, f"{MANY}    filter: {{{text}}}\n") == (
        f"a.yaml:6: datasets[0].filter.{message}"
    )


def test_every_meaningless_key_has_its_line(tmp_path: Path) -> None:
    text = "\n      top_k: 1\n      estimator: window\n      expert_return_share: 0.5\n"
    lines = refusal(tmp_path, f"{MANY}    filter:{text}").split("\n")
    assert [line.split(": ")[0] for line in lines] == ["a.yaml:8", "a.yaml:9"]


@pytest.mark.parametrize("task", ["", "    task: {literal: lift}\n"])
def test_the_only_task_of_a_data_set_needs_a_value(tmp_path: Path, task: str) -> None:
    name = "lift" if task else "robot"
    text = f"{MINIMAL}{task}    filter: {{expert_returns: {{a: 1}}}}\n"
    assert f"it has no value for the task '{name}', the only one here." in refusal(tmp_path, text)
    own = f"{MINIMAL}{task}    filter: {{expert_returns: {{a: 1}}, tasks: {{{name}: off}}}}\n"
    (tmp_path / "a.yaml").write_text(own)
    assert load_config(str(tmp_path / "a.yaml")).datasets[0].filter is not None


class TestFiles:
    @pytest.mark.parametrize(
        ("name", "content"),
        [
            ("experts.json", '{"a": 1, "b \\ud83d\\ude00": -2.5}'),
            ("experts.json", '{\n\t"b \\ud83d\\ude00": -2.5,\n\t"a": 1\n}'),
            ("experts.yaml", "a: 1\nb 😀: -2.5\n"),
            ("experts", "{a: 1.0, 'b 😀': -25e-1}"),
        ],
    )
    def test_json_and_yaml(self, tmp_path: Path, name: str, content: str) -> None:
        (tmp_path / name).write_text(content)
        found = load(tmp_path, f"{{expert_returns: {name}}}")
        assert found == FilterConfig(expert_returns={"a": 1.0, "b 😀": -2.5})

    def test_a_path_is_relative_to_the_config(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "scores").mkdir()
        (tmp_path / "scores/random.json").write_text('{"a": -7}')
        monkeypatch.chdir(tmp_path)
        expected = FilterConfig(relative_to_random={"a": -7.0})
        assert load(tmp_path, "{relative_to_random: scores/random.json}") == expected
        assert load(tmp_path, f"{{relative_to_random: {tmp_path}/scores/random.json}}") == expected
        # Also where the config is named without its folder.
        assert load_config("a.yaml").datasets[0].filter == expected

    def test_on_another_file_system(self, tmp_path: Path) -> None:
        with fsspec.open("memory://scores/experts.json", "wb") as file:
            file.write(b'{"a": 3}')
        with fsspec.open("memory://scores/a.yaml", "wb") as file:
            file.write(f"{MANY}    filter: {{expert_returns: experts.json}}\n".encode())
        expected = FilterConfig(expert_returns={"a": 3.0})
        assert load(tmp_path, "{expert_returns: 'memory://scores/experts.json'}") == expected
        assert load_config("memory://scores/a.yaml").datasets[0].filter == expected

    def test_the_config_holds_the_numbers(self, tmp_path: Path) -> None:
        """So the manifest says them, and another content is another build."""
        path = tmp_path / "a.yaml"
        path.write_text(f"{MANY}    filter: {{expert_returns: experts.json}}\n")
        plains = []
        for value in (1, 2):
            (tmp_path / "experts.json").write_text(f'{{"a": {value}}}')
            plains.append(load_config(str(path)).to_json())
        assert [plain["datasets"][0]["filter"]["expert_returns"] for plain in plains] == [
            {"a": 1.0},
            {"a": 2.0},
        ]
        assert "experts.json" not in json.dumps(plains)

    def test_a_rule_of_one_task_takes_its_number_only(self, tmp_path: Path) -> None:
        (tmp_path / "all.json").write_text('{"robot": 1, "b": 2, "c": 3}')
        one = load(tmp_path, "{expert_returns: all.json}", MINIMAL)
        assert one == FilterConfig(expert_returns={"robot": 1.0})
        many = load(tmp_path, "{top_k: 1, tasks: {b: {expert_returns: all.json}}}")
        own = FilterRule(expert_returns={"b": 2.0})
        assert many == FilterConfig(top_k=1, tasks={"b": own})

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "there is no such file."),
            (b"", "this is no mapping. Expected lines such as `task: 12.5`, or JSON."),
            (b"{}", "this is no mapping. Expected lines such as `task: 12.5`, or JSON."),
            (b"[1, 2]", "this is no mapping. Expected lines such as `task: 12.5`, or JSON."),
            (b'{"a": "x"}', "the value of 'a' is \"x\". Expected a finite number."),
            (b'{"a": null}', "the value of 'a' is null. Expected a finite number."),
            (b'{"a": true}', "the value of 'a' is true. Expected a finite number."),
            (b'{"a": 1e999}', "the value of 'a' is Infinity. Expected a finite number."),
            (b'{"a": {"b": 1}}', "the value of 'a' is {\"b\": 1}. Expected a finite number."),
            (b'{"a": NaN}', "the value of 'a' is \"NaN\". Expected a finite number."),
            (
                b'{"a": 1' + b"0" * 400 + b"}",
                "the value of 'a' is 1" + "0" * 59 + ". Expected a finite number.",
            ),
            (
                b'{"a": 1,\n"a": 2}',
                "line 2: the key is given twice, first in line 1. Remove one of the two.",
            ),
            (
                b"a: 1\nb: 0x10\n",
                "line 2: 0x10 is no decimal number. Write it with the digits 0 to 9.",
            ),
            (b"a: 1\n7: 2\n", "line 2: `7` (int) is no key. Keys are texts."),
            (b"a: \xff", "line 1: this is no UTF-8 text. Save the file as UTF-8."),
            (
                b"[" * 100_000,
                "line 1: values are nested more than 16 levels deep. A config has five levels.",
            ),
            (b"#" * (MAX_BYTES + 1), f"the file is larger than {MAX_BYTES} bytes."),
        ],
    )
    def test_refusals_name_key_and_file(
        self, tmp_path: Path, content: bytes | None, message: str
    ) -> None:
        if content is not None:
            (tmp_path / "experts.json").write_bytes(content)
        text = f"{MANY}    filter:\n      expert_returns: experts.json\n"
        found = refusal(tmp_path, text).replace(str(tmp_path), "FOLDER")
        assert found == (
            f"a.yaml:7: datasets[0].filter.expert_returns: FOLDER/experts.json: {message}"
        )

    @pytest.mark.parametrize(
        ("path", "word"), [(".", "cannot be read"), ("foo://x/y", "cannot be opened")]
    )
    def test_what_is_no_file(self, tmp_path: Path, path: str, word: str) -> None:
        assert word in refusal(tmp_path, f"{MANY}    filter: {{expert_returns: '{path}'}}\n")

    def test_a_file_without_the_task(self, tmp_path: Path) -> None:
        (tmp_path / "all.json").write_text('{"b": 2}')
        text = f"{MINIMAL}    filter: {{expert_returns: all.json}}\n"
        assert refusal(tmp_path, text).endswith(
            "all.json: it has no value for the task 'robot', the only one here. Add it."
        )

    def test_a_manifest_names_no_file(self) -> None:
        """What reads a manifest reads no file because the manifest says so."""
        plain: dict[str, Any] = Config(datasets=()).to_json()
        robot = {"name": "robot", "kind": "rlds", "path": "x", "filter": {"expert_returns": "f"}}
        with pytest.raises(UsageError) as raised:
            config_from_json(plain | {"datasets": [robot]}, "manifest.json")
        assert str(raised.value) == (
            "manifest.json: datasets[0].filter.expert_returns: a file is named here, where its "
            "numbers should stand."
        )
