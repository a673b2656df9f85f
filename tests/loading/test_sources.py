"""What `load` is given: directories, weights, mixtures; and all that is refused before work."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import gato_data
from gato_data.errors import UsageError
from gato_data.loading.sources import read_sources
from tests.loading.streams import batches, ids, rows

Weights = dict[tuple[str, str], float]


def weights_of(*arguments: Any, **options: Any) -> Weights:
    """By directory and data set the share of all weights, to six places."""
    found = read_sources(*arguments, **{"split": "train"} | options)
    total = sum(one.weight for one in found)
    return {
        (Path(one.build.directory).name, one.dataset): round(one.weight / total, 6) for one in found
    }


@pytest.fixture
def builds(tiny_build_arrow: Path, two_passes: Path, no_text: Path, tmp_path: Path) -> Path:
    """A folder with builds `a` and `b` of both data sets, and `c` of one of them, without text."""
    for name, build in (("a", tiny_build_arrow), ("b", two_passes), ("c", no_text)):
        (tmp_path / name).symlink_to(build)
    return tmp_path


def test_one_directory_has_the_weights_of_its_manifest(builds: Path) -> None:
    half = {("a", "plain"): 0.5, ("a", "toy"): 0.5}
    assert weights_of(str(builds / "a")) == weights_of(builds / "a") == half
    assert weights_of(builds / "a", datasets=["toy"]) == {("a", "toy"): 1.0}
    assert weights_of(builds / "a", weights={"toy": 3, "plain": 1}) == {
        ("a", "plain"): 0.25,
        ("a", "toy"): 0.75,
    }
    assert weights_of(builds / "a", weights={"plain": 5}) == {("a", "plain"): 1.0}


@pytest.mark.fidelity("mixture-weights")
def test_several_directories_share_by_all_their_data_sets(builds: Path) -> None:
    assert weights_of([builds / "a", str(builds / "c")]) == {
        ("a", "plain"): round(1 / 3, 6),
        ("a", "toy"): round(1 / 3, 6),
        ("c", "plain"): round(1 / 3, 6),
    }


@pytest.mark.fidelity("mixture-weights")
def test_a_mapping_gives_each_directory_its_share(builds: Path) -> None:
    """Divided inside by the manifest's weights, or by those given for it."""
    a, b, c = (str(builds / name) for name in "abc")
    assert weights_of({a: 3, c: 1}) == {
        ("a", "plain"): 0.375,
        ("a", "toy"): 0.375,
        ("c", "plain"): 0.25,
    }
    mixture = {a: {"weight": 60, "datasets": {"toy": 1, "plain": 5}}, Path(b): {"weight": 40}}
    assert weights_of(mixture) == {
        ("a", "plain"): 0.5,
        ("a", "toy"): 0.1,
        ("b", "plain"): 0.2,
        ("b", "toy"): 0.2,
    }
    # What is not named inside is left out; weights by name go before those of the mixture.
    assert weights_of({a: {"weight": 1, "datasets": {"toy": 9}}}) == {("a", "toy"): 1.0}
    assert weights_of(mixture, weights={"toy": 1}) == {("a", "toy"): 0.6, ("b", "toy"): 0.4}


@pytest.mark.parametrize("name", ["mixture.yaml", "mixture.yml", "mixture.json"])
def test_a_file_of_a_mixture_lies_anywhere(
    builds: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its directories are relative to it, not to where the training runs."""
    monkeypatch.chdir("/")
    folder = builds / "mixtures"
    folder.mkdir()
    path = folder / name
    text = f'{{"../a": 3, "{builds}/c": {{"weight": 1, "datasets": {{"plain": 7}}}}}}'
    path.write_text(text)
    expected = {("a", "plain"): 0.375, ("a", "toy"): 0.375, ("c", "plain"): 0.25}
    assert weights_of(str(path)) == weights_of(path) == expected


@pytest.mark.fidelity("mixture-weights")
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_batches_follow_a_mixture(builds: Path, seed: int) -> None:
    mixture = {
        str(builds / "a"): {"weight": 8, "datasets": {"toy": 1}},
        str(builds / "c"): {"weight": 2},
    }
    found = batches(mixture, 8, seed=seed, batch_size=500, images="none", provenance=True)
    toy = np.mean([row["dataset"] == "toy" for row in rows(found)])
    assert abs(toy - 0.8) < 5 * np.sqrt(0.8 * 0.2 / 4000)


def test_epochs_go_through_all_sequences_of_all_directories(builds: Path) -> None:
    found = batches([builds / "a", builds / "c"], provenance=True, batch_size=7)
    of_plain = [one for one in ids(found) if one.startswith("plain/")]
    assert len(ids(found)) == 25 + 9
    assert all(of_plain.count(one) == 2 for one in of_plain)
    by_weight = batches({str(builds / "a"): 1000, str(builds / "c"): 1}, provenance=True)
    assert sorted(ids(by_weight)) == sorted(ids(found))


YAML_ERRORS = {
    "no mapping": ("[a, b]", "give a mapping of directories to weights"),
    "empty": ("", "give a mapping of directories to weights"),
    "no YAML": ("a: [1", "line "),
    "twice": ("a: 1\na: 2", "a"),
    "no weight": ("a: {datasets: {toy: 1}}", "a: give a mapping of directories to weights"),
    "an unknown key": ("a: {weight: 1, dataset: {toy: 1}}", "a: give a mapping"),
    "a list of data sets": ("a: {weight: 1, datasets: [toy]}", "a: give a mapping"),
    "zero": ("{a: 0}", "a: the weight is 0, but must be a positive number"),
    "negative": ("{a: 1, c: -2}", "c: the weight is -2, but must be a positive number"),
    "no number": ("{a: much}", "a: the weight is 'much'"),
    "true": ("{a: true}", "a: the weight is True"),
    "NaN": ("{a: .nan}", "a: .nan is no finite decimal number"),
    "infinite": ("{a: .inf}", "a: .inf is no finite decimal number"),
    "inside": ("{a: {weight: 1, datasets: {toy: -1}}}", "data set 'toy': the weight is -1"),
    "an unknown data set": (
        "{a: {weight: 1, datasets: {toi: 1}}}",
        "there is no data set 'toi'. There is plain, toy",
    ),
    "no build": ("{d: 1}", "d: no manifest.json, so this is no finished build"),
    "no name": ("{1: 1}", "`1` (int) is no key. Keys are texts"),
}


@pytest.mark.parametrize(("text", "message"), YAML_ERRORS.values(), ids=YAML_ERRORS)
def test_mixtures_that_are_refused(builds: Path, text: str, message: str) -> None:
    path = builds / "mixture.yaml"
    path.write_text(text)
    with pytest.raises(UsageError) as refused:
        gato_data.load(str(path), batch_size=2)
    assert message in str(refused.value)
    assert str(builds) in str(refused.value)


def test_a_mixture_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"mixture\.yaml: no such file\. To load it, give a map"):
        gato_data.load(str(tmp_path / "mixture.yaml"), batch_size=2)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"toy": 0}, "data set 'toy': the weight is 0, but must be a positive number"),
        ({"toy": 1, "plain": -0.5}, "data set 'plain': the weight is -0.5"),
        ({"toy": float("nan")}, "the weight is nan"),
        ({"toy": float("inf")}, "the weight is inf"),
        ({"toy": "1"}, "the weight is '1'"),
        ({"toy": None}, "the weight is None"),
        ({"toy": True}, "the weight is True"),
        ({"toi": 1}, "there is no data set 'toi'. There is plain, toy"),
        ({}, "weights names no data set"),
    ],
)
def test_weights_that_are_refused(
    tiny_build_arrow: Path, weights: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        gato_data.load(str(tiny_build_arrow), batch_size=2, weights=weights)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0, but must be at least 1"),
        ({"batch_size": -2}, "batch_size is -2, but must be at least 1"),
        ({"process_index": 0, "process_count": 3, "batch_size": 4}, "batch_size 4 over 3 data sh"),
        ({"images": "packed", "data_shards": 3}, "batch_size 2 over 3 data shards on 1 hosts"),
        ({"images": "packed", "data_shards": 0}, "data_shards is 0, but must be at least 1"),
        ({"images": "packed", "patch_budget": 95}, "patch_budget is 95, but must be at least 96"),
        ({"images": "packed", "patch_budget": 0}, "patch_budget is 0, but must be at least 96"),
        ({"images": "sparse"}, "images is 'sparse': choose one of dense, packed, none"),
        ({"epochs": 0}, "epochs is 0: give at least 1"),
        ({"epochs": 1, "weights": {"toy": 1}}, "give one of the two"),
        ({"epochs": 1, "within": "tasks"}, 'within="tasks" goes by weights'),
        ({"within": "task"}, 'within is \'task\': choose "sequences" or "tasks"'),
        ({"workers": -1}, "workers is -1, but must be at least 0"),
        ({"prefetch": 0}, "prefetch is 0, but must be at least 1"),
        ({"split": "test"}, "it has no split 'test'. There is train, validation"),
        ({"datasets": ["toi"]}, "there is no data set 'toi'. There is plain, toy"),
        ({"datasets": []}, "datasets names no data set"),
        ({"datasets": ["toy"], "weights": {"plain": 1}}, "weights has none for any of toy"),
        ({"batch_size": 26, "epochs": 2, "drop_last": True}, "25 sequences make no batch of 26"),
        (
            {"process_index": 2, "process_count": 2},
            "process_index is 2 of 2: it must lie in [0, 2)",
        ),
        ({"process_index": -1, "process_count": 2}, "process_index is -1 of 2"),
        ({"process_index": 1}, "Give both process_index and process_count, or neither"),
    ],
)
def test_refusals_come_before_the_first_batch(
    tiny_build_arrow: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError) as refused:
        gato_data.load(str(tiny_build_arrow), **{"batch_size": 2} | options)
    assert message in str(refused.value)


def test_a_directory_given_twice_and_none(tiny_build_arrow: Path) -> None:
    for wanted in ([], [tiny_build_arrow, str(tiny_build_arrow)]):
        with pytest.raises(UsageError, match="one directory or more, each of them once"):
            gato_data.load(wanted, batch_size=2)


def test_a_directory_of_which_nothing_is_in_the_split(builds: Path) -> None:
    shares = {str(builds / "a"): 1, str(builds / "c"): 1}
    with pytest.raises(UsageError, match=r"c: nothing of it is in the split 'train'"):
        gato_data.load(shares, batch_size=2, datasets=["toy"])


def test_builds_that_cannot_share_a_batch(
    tiny_build_arrow: Path, shorter: Path, other_text: Path, no_text: Path
) -> None:
    """A build without text goes with any text model, but not as a go-between."""
    assert len(weights_of([no_text, other_text])) == 2
    assert len(weights_of([tiny_build_arrow, no_text])) == 3
    for others in ([other_text], [no_text, other_text]):
        for wanted in ([tiny_build_arrow, *others], [*others, tiny_build_arrow]):
            with pytest.raises(UsageError) as refused:
                read_sources(wanted, "train")
            assert "have not the same vocabulary" in str(refused.value)
            assert str(tiny_build_arrow) in str(refused.value)
            assert str(other_text) in str(refused.value)
    with pytest.raises(UsageError, match=r"have not the same sequence length.*sequence_length"):
        read_sources([tiny_build_arrow, shorter], "train")


def test_mappings_of_python_are_held_to_the_same(builds: Path) -> None:
    """There NaN can be written, and keys are anything."""
    for wanted, message in (
        ({str(builds / "a"): float("nan")}, "the weight is nan"),
        ({str(builds / "a"): np.float64("inf")}, "the weight is np.float64(inf)"),
        ({1: 1}, "the mixture: 1 names no directory"),
        ({}, "the mixture: give a mapping of directories to weights"),
    ):
        with pytest.raises(UsageError) as refused:
            gato_data.load(wanted, batch_size=2)
        assert message in str(refused.value)


def test_sources_are_what_yaml_says_as_read_by_others(builds: Path) -> None:
    """The file is plain YAML: another reader of it finds the same directories and weights."""
    path = builds / "mixture.yaml"
    path.write_text("# robots\na: 85.3\n'c':\n  weight: 14.7\n  datasets:\n    plain: 2\n")
    document = yaml.safe_load(path.read_text())
    assert weights_of(path) == weights_of({str(builds / k): v for k, v in document.items()})


def test_a_directory_in_two_spellings_is_refused(builds: Path) -> None:
    first = str(builds / "a")
    for given in ([first, f"{builds}/./a"], {first: 1, f"{first}/": 1}, [first, f"file://{first}"]):
        with pytest.raises(UsageError, match="are one directory: give each of them once"):
            read_sources(given, "train")


def test_weights_that_no_number_can_add_up(builds: Path) -> None:
    with pytest.raises(UsageError, match="add up to more than a number holds"):
        read_sources(builds / "a", "train", weights={"toy": 1e308, "plain": 1e308})


def test_numbers_of_numpy_are_weights(builds: Path) -> None:
    given = {"toy": np.int64(3), "plain": np.float32(1)}
    assert weights_of(builds / "a", weights=given) == {("a", "toy"): 0.75, ("a", "plain"): 0.25}


def test_a_seed_of_numpy_is_the_same_seed(builds: Path) -> None:
    first, other = (
        next(gato_data.load(builds / "a", batch_size=np.int64(4), seed=seed, workers=0))
        for seed in (3, np.int64(3))
    )
    np.testing.assert_array_equal(first["tokens"], other["tokens"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"datasets": "toy"}, "datasets is 'toy', but must be a list of names"),
        ({"weights": ["toy"]}, "must be a mapping of names to numbers"),
        ({"seed": 1.5}, "seed is 1.5, but must be an integer"),
        ({"epochs": 1.5}, "epochs is 1.5, but must be an integer"),
        ({"batch_size": 4.0}, "batch_size is 4.0, but must be an integer"),
    ],
)
def test_options_of_another_type(builds: Path, option: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        gato_data.load(builds / "a", **{"batch_size": 4} | option)
