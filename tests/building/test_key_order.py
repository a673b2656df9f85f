"""The order of nested keys, for structures of any shape."""

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gato_data.building.layout import resolve_layout
from gato_data.config import DatasetConfig, SequenceConfig
from gato_data.readers.features import read_features
from gato_data.sequencing.episode import Episode, Field
from gato_data.sequencing.tokens import TokenisedEpisode
from gato_data.vocabulary import SEPARATOR, Vocabulary
from tests.building.test_layout import leaf, leaves, names, resolve

CORE = "tensorflow_datasets.core.features"
SCALAR = {
    "pythonClassName": f"{CORE}.scalar.Scalar",
    "tensor": {"dtype": "int64", "shape": {}, "encoding": "none"},
}
# Signs around "/" and digits: whole paths, compared as strings, would give another order.
KEYS = st.text(st.sampled_from("aBbz019_-.é ~!\U0001f600"), min_size=1, max_size=3)
TREES = st.recursive(
    st.just(None), lambda inner: st.dictionaries(KEYS, inner, min_size=1, max_size=5), max_leaves=20
).filter(lambda tree: tree is not None)

Tree = dict[str, Any]


def walk(tree: Tree, prefix: str) -> Iterator[str]:
    """Depth first, the keys of every level sorted by code point."""
    for key in sorted(tree, key=lambda name: [ord(sign) for sign in name]):
        if tree[key] is None:
            yield prefix + key
        else:
            yield from walk(tree[key], f"{prefix}{key}/")


def described(tree: Tree | None) -> dict[str, Any]:
    """As `features.json` has it, the keys in the order of the dictionary."""
    if tree is None:
        return SCALAR
    features = {key: described(child) for key, child in tree.items()}
    name = f"{CORE}.features_dict.FeaturesDict"
    return {"pythonClassName": name, "featuresDict": {"features": features}}


@pytest.mark.fidelity("key-order", "row-major")
@settings(deadline=None, max_examples=60)
@given(observation=TREES, action=TREES)
def test_nested_structures_are_walked_depth_first_by_sorted_keys(
    tmp_path_factory: pytest.TempPathFactory, observation: Tree, action: Tree
) -> None:
    folder = tmp_path_factory.mktemp("tree")
    steps = {"feature": described({"observation": observation, "action": action}), "length": "-1"}
    node = {"pythonClassName": f"{CORE}.dataset_feature.Dataset", "sequence": steps}
    root = {"pythonClassName": f"{CORE}.features_dict.FeaturesDict"}
    root["featuresDict"] = {"features": {"steps": node}}  # type: ignore[assignment]
    (folder / "features.json").write_text(json.dumps(root))
    found = read_features(str(folder))
    order = resolve_layout(DatasetConfig("toy", "rlds", path="data"), SequenceConfig(), found)

    expected = [list(walk(observation, "observation/")), list(walk(action, "action/"))]
    assert [names(order.observation), names(order.action)] == expected

    # And so are the tokens: each key holds its place in the walk as its value.
    paths = [f"steps/{path}" for path in expected[0] + expected[1]]
    columns = {path: np.array([place]) for place, path in enumerate(paths)}
    tokens = TokenisedEpisode(Episode(1, columns), order, Vocabulary(), None).tokens()
    count = len(expected[0])
    places = list(range(len(paths)))
    assert tokens.fields["tokens"].tolist() == [*places[:count], SEPARATOR, *places[count:]]


@pytest.mark.fidelity("key-order", "row-major")
def test_digits_in_keys_are_letters_and_indices_of_tensors_are_numbers() -> None:
    """The keys 10 and 2 sort as texts; element 10 of a tensor comes after element 2."""
    found = leaves(
        leaf("steps/action"),
        leaf("steps/observation/joint/10", "int64"),
        leaf("steps/observation/joint/2", "int64"),
        leaf("steps/observation/row", "int64", 12),
    )
    order = resolve(found)
    assert names(order.observation) == [
        "observation/joint/10",
        "observation/joint/2",
        "observation/row",
    ]
    columns = {
        "steps/action": np.zeros((1,), np.float32),
        "steps/observation/joint/10": np.array([100]),
        "steps/observation/joint/2": np.array([200]),
        "steps/observation/row": np.arange(12)[np.newaxis],
    }
    tokens = TokenisedEpisode(Episode(1, columns), order, Vocabulary(), None).tokens()
    assert tokens.fields["tokens"].tolist()[:-2] == [100, 200, *range(12)]


def test_a_field_of_every_kind_sorts_by_its_key_alone() -> None:
    """Text, image and numbers mixed: the modality does not matter."""
    kinds = {"a": "float32", "b": "image", "c": "text", "d": "int64", "e": "image"}
    shapes = {"image": (16, 16, 3)}
    made = [leaf(f"steps/observation/{key}", x, *shapes.get(x, ())) for key, x in kinds.items()]
    fields: tuple[Field, ...] = resolve(leaves(leaf("steps/action"), *made[::-1])).observation
    assert [name[-1] for name in names(fields)] == list("abcde")
