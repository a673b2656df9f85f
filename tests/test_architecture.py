"""Imports run one way (docs/architecture.md), and heavy libraries stay where they belong."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Lowest first; a package may import what stands in an earlier group or in its own package.
LAYERS = [
    {"masking"},
    {"errors", "vocabulary", "wording"},
    {"schema_files", "config_types", "config_reading", "storage"},
    {"config_task_values", "config_action_range"},
    {"config_checks"},
    {"config", "tokenizers", "expert_return"},
    {"sequencing"},
    {"readers", "records"},
    {"building"},
    {"loading"},
    {"report"},
    {"transformer"},
]
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
HEAVY = {"tensorflow", "tensorflow_datasets", "apache_beam", "keras", "jax", "torch", "gymnasium"}
HEAVY_HOMES = {
    "recording": {"tensorflow", "tensorflow_datasets", "gymnasium"},
    "pipelines": {"apache_beam"},
    "transformer": {"keras", "jax", "tensorflow"},
}
# Each hands batches to the framework of its name, and nothing imports it before that is asked for.
ADAPTERS = {f"loading/{name}.py": name for name in ("tensorflow", "jax", "torch")}


def imports(path: Path, at_top: bool) -> Iterator[str]:
    """Dotted names that a module imports; `at_top` leaves out those inside functions."""
    tree = ast.parse(path.read_text())
    nodes = tree.body if at_top else ast.walk(tree)
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def modules() -> list[Path]:
    return sorted((ROOT / "gato_data").rglob("*.py"))


def package_of(path: Path) -> str:
    parts = path.relative_to(ROOT / "gato_data").with_suffix("").parts
    return parts[0]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path: Path) -> None:
    package = package_of(path)
    for name in imports(path, at_top=False):
        assert not name.startswith("pipelines"), f"{path}: the library knows no pipeline"
        parts = name.split(".")
        if parts[0] != "gato_data" or len(parts) < 2 or package not in RANK:
            continue
        if parts[1] in RANK and parts[1] != package:
            assert RANK[parts[1]] <= RANK[package], f"{path} imports {name}"
            if RANK[parts[1]] == RANK[package]:
                assert not _imports_back(parts[1], package), f"{parts[1]} and {package}: a circle"


def _imports_back(package: str, other: str) -> bool:
    return any(
        name.split(".")[:2] == ["gato_data", other]
        for path in modules()
        if package_of(path) == package
        for name in imports(path, at_top=False)
    )


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(ROOT)))
def test_heavy_libraries_stay_where_they_belong(path: Path) -> None:
    allowed = HEAVY_HOMES.get(package_of(path), set())
    found = {name.split(".")[0] for name in imports(path, at_top=False)} & HEAVY
    framework = ADAPTERS.get(str(path.relative_to(ROOT / "gato_data")))
    if framework is not None:
        assert found == {framework}
        return
    assert found <= allowed
    at_top = {name.split(".")[0] for name in imports(path, at_top=True)} & HEAVY
    if package_of(path) != "transformer":
        assert not at_top
    elif path.stem != "tensorflow_training":
        # It is made of Keras and JAX; what must not happen is that others import it unasked.
        assert "tensorflow" not in found


def test_nothing_imports_the_transformer_before_it_is_asked_for() -> None:
    verbs = sorted((ROOT / "pipelines").glob("*.py"))
    others = [path for path in modules() if package_of(path) != "transformer"]
    for path in (*verbs, *others):
        for name in imports(path, at_top=True):
            is_light = name.removeprefix("gato_data.transformer.").split(".")[0] == "config"
            assert not name.startswith("gato_data.transformer") or is_light, f"{path}: {name}"


def test_nothing_imports_an_adapter_of_a_framework() -> None:
    assert all((ROOT / "gato_data" / path).is_file() for path in ADAPTERS)
    for path in modules():
        for name in imports(path, at_top=False):
            assert name not in {f"gato_data.loading.{x}" for x in ADAPTERS.values()}, path


def test_every_package_is_installed() -> None:
    import tomllib

    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(path.parent.relative_to(ROOT).parts)
        for folder in ("gato_data", "pipelines")
        for path in (ROOT / folder).rglob("__init__.py")
    }
    assert found | {"gato_data.schemas"} == set(stated)


def test_constraints_hold_exact_versions_and_no_addresses() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert len(pins) > 100
    for line in pins:
        name, _, version = line.partition("==")
        assert name
        assert version
        assert "/" not in line
        assert "@" not in line
