"""Data, configs and builds of others run no code, and nothing is written outside the output.

What each reader refuses stands in its own tests, and fuzzing watches all of them; this is what
concerns all of the code.
"""

import ast
import os
from pathlib import Path

import fsspec
import pytest

from gato_data.config import load_config
from gato_data.errors import UsageError
from gato_data.readers.corpora.finding import find_files
from tests.building.builds import build_here, write_config
from tests.test_architecture import ROOT, imports

MODULES = sorted([*(ROOT / "gato_data").rglob("*.py"), *(ROOT / "pipelines").rglob("*.py")])
# What makes objects or code of bytes.
_MODULES = {"pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "jsonpickle", "runpy"}
_CALLS = {"eval", "exec", "compile", "__import__"}
_METHODS = {
    ("os", "system"),
    ("os", "popen"),
    ("yaml", "load"),
    ("yaml", "unsafe_load"),
    ("yaml", "full_load"),
    ("np", "load"),
    ("numpy", "load"),
    ("torch", "load"),
    ("tarfile", "extractall"),
    ("shutil", "unpack_archive"),
    ("subprocess", "run"),
    ("subprocess", "Popen"),
}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_makes_code_of_data(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path, at_top=False)}.isdisjoint(_MODULES)
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name):
                assert called.id not in _CALLS, f"line {node.lineno}"
            if isinstance(called, ast.Attribute):
                assert called.attr not in ("extract", "extractall"), f"line {node.lineno}"
                if isinstance(called.value, ast.Name):
                    assert (called.value.id, called.attr) not in _METHODS, f"line {node.lineno}"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle":
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is False


@pytest.mark.parametrize("name", ["../out", "/tmp/x", "a/b", ".", "..", "a\\b", "A", "", "a\0b"])
def test_names_of_data_sets_are_no_paths(name: str, tmp_path: Path) -> None:
    path = write_config(tmp_path, {"datasets": [{"name": name, "kind": "rlds", "path": "x"}]})
    with pytest.raises(UsageError, match="name"):
        load_config(str(path))


def test_keys_of_a_store_do_not_lead_out_of_the_output(tmp_path: Path) -> None:
    """The index has a file for each input file, under its name; a store allows any name."""
    store = fsspec.filesystem("memory")
    text = b'{"text": "go"}\n'
    names = ["good.jsonl", "in/good.jsonl", "../../../../up.jsonl", "in/../../../up.jsonl"]
    for name in names:
        store.store[f"/keys/{name}"] = store.open(f"/other/{len(name)}", "wb")
        store.store[f"/keys/{name}"].write(text)
    found = find_files("memory://keys/**/*.jsonl")
    assert all(".." not in name.split("/") for name in found.names)
    model = Path(__file__).parent / "records/released/1.0/arrow/vocabulary.model"
    config = {
        "vocabulary": {"text_model": str(model)},
        "datasets": [{"name": "texts", "kind": "text", "path": "memory://keys/**/*.jsonl"}],
    }
    path = write_config(tmp_path / "deep/in/there", config)
    before = set(tmp_path.rglob("*"))
    build_here(path, tmp_path / "deep/out")
    made = {one for one in set(tmp_path.rglob("*")) - before if one.is_file()}
    assert made
    assert all(os.path.realpath(one).startswith(f"{tmp_path}/deep/out/") for one in made)
