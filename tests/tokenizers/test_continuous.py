import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.tokenizers import companding, continuous

ALL_IDS = np.arange(32000, 33024)


def rule(values: npt.NDArray[np.floating], compand: bool) -> npt.NDArray[np.int64]:
    """The paper's rule in plain float64."""
    y = values.astype(np.float64)
    if compand:
        with np.errstate(over="ignore"):
            y = np.sign(y) * np.log(np.abs(y) * 100 + 1.0) / np.log(256 * 100 + 1.0)
    y = np.clip(y, -1, 1)
    return 32000 + np.minimum(1023, np.floor((y + 1) / 2 * 1024)).astype(np.int64)


def companded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.sign(values) * np.log(np.abs(values) * 100 + 1.0) / np.log(25601.0)


def samples() -> npt.NDArray[np.float64]:
    """1.4 million values of several distributions."""
    rng = np.random.default_rng(20)
    size = 200_000
    return np.concatenate(
        [
            rng.normal(size=size),
            rng.normal(size=size) * 1e-3,
            rng.normal(size=size) * 100,
            rng.uniform(-1.1, 1.1, size),
            rng.uniform(-300, 300, size),
            np.exp(rng.uniform(np.log(1e-25), np.log(1e30), size)) * rng.choice([-1, 1], size),
            rng.integers(-1024, 1025, size) / 512 + rng.choice([-1, 0, 1], size) * 1e-9,
        ]
    )


def away_from_edges(values: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
    """Where a logarithm that is wrong in its last bit cannot change the bin."""
    edges = companding.table().edges
    wide = values.astype(np.float64)
    after = np.searchsorted(edges, wide, side="right")
    nearest = np.minimum(np.abs(wide - edges[after - 1]), np.abs(edges[after] - wide))
    # One unit in the last place of the logarithm, up to 10, moves an edge by some 16 units of x.
    return nearest > np.maximum(32 * np.spacing(np.abs(wide)), 1e-17)


@pytest.mark.fidelity("continuous-bins", "observation-companding", "action-bins")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_over_a_million_floats_the_bins_are_those_of_the_float64_rule(dtype: type) -> None:
    values = samples().astype(dtype)
    ids = continuous.encode(values)
    clear = away_from_edges(values)
    assert clear.sum() > 1_000_000
    np.testing.assert_array_equal(ids[clear], rule(values[clear], compand=True))
    np.testing.assert_array_equal(
        continuous.encode(values, compand=False), rule(values, compand=False)
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_values_around_every_edge_get_the_bin_of_the_exact_rule(dtype: type) -> None:
    edges = companding.table().edges[1:1024].astype(dtype)
    below, above = np.nextafter(edges, dtype(-np.inf)), np.nextafter(edges, dtype(np.inf))
    values = np.concatenate([below, edges, above])
    expected = [32000 + companding.exact_bin(float(value)) for value in values]
    assert continuous.encode(values).tolist() == expected


@pytest.mark.fidelity("continuous-bins", "action-bins")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_actions_around_every_edge(dtype: type) -> None:
    edges = (np.arange(1025) / 512 - 1).astype(dtype)
    below, above = np.nextafter(edges, dtype(-2)), np.nextafter(edges, dtype(2))
    values = np.concatenate([below, edges, above])
    np.testing.assert_array_equal(
        continuous.encode(values, compand=False), rule(values, compand=False)
    )
    assert continuous.encode(edges, compand=False).tolist() == [*ALL_IDS, 33023]


@pytest.mark.fidelity("continuous-bins")
@pytest.mark.parametrize(
    "dtype",
    [np.float16, ml_dtypes.bfloat16, np.float32, ">f4", np.float64, np.longdouble, np.int8,
     np.uint8, np.int32, np.int64, np.uint64, np.bool_],
)  # fmt: skip
@pytest.mark.parametrize("compand", [True, False])
def test_the_type_of_a_value_does_not_change_its_id(dtype: npt.DTypeLike, compand: bool) -> None:
    values = np.array([0, 1, 2, 3, 100, 0.3, 1.25, 77.7]).astype(dtype)
    expected = [int(rule(np.array(float(value)), compand)) for value in values]
    assert continuous.encode(values, compand).tolist() == expected


def test_extremes_of_the_types() -> None:
    for dtype in (np.float16, np.float32, np.float64):
        info = np.finfo(dtype)
        values = np.array([info.min, -info.smallest_subnormal, -0.0, info.tiny, info.max], dtype)
        for compand in (True, False):
            assert continuous.encode(values, compand).tolist() == rule(values, compand).tolist()


@pytest.mark.fidelity("continuous-clip")
def test_no_value_leaves_the_range_of_continuous_ids() -> None:
    values = np.array([-1e30, -257, -1, 1, np.nextafter(1.0, 2), 257, 1e30])
    for compand in (True, False):
        ids = continuous.encode(values, compand)
        assert ids[0] == 32000
        assert ids[-1] == 33023
        assert ids.min() >= 32000
        assert ids.max() <= 33023


@pytest.mark.fidelity("continuous-bins")
def test_a_value_has_one_id_whatever_stands_beside_it() -> None:
    values = samples()[::1000]
    together = continuous.encode(values)
    alone = [int(continuous.encode(value)) for value in values]
    assert together.tolist() == alone


@pytest.mark.fidelity("bin-centres")
@pytest.mark.parametrize("compand", [True, False])
def test_encode_decode_encode_is_stable_for_every_bin(compand: bool) -> None:
    centres = continuous.decode(ALL_IDS, companded=compand)
    assert centres.dtype == np.float64
    np.testing.assert_array_equal(continuous.encode(centres, compand), ALL_IDS)
    np.testing.assert_array_equal(continuous.encode(centres.astype(np.float32), compand), ALL_IDS)


@pytest.mark.fidelity("bin-centres", "observation-companding")
def test_decoded_observations_are_the_inverse_of_companding() -> None:
    positions = (2 * np.arange(1024) + 1) / 1024 - 1
    expected = np.sign(positions) * (25601.0 ** np.abs(positions) - 1) / 100
    np.testing.assert_allclose(continuous.decode(ALL_IDS), expected, rtol=1e-12)


@pytest.mark.fidelity("bin-centres")
@given(st.floats(-1, 1))
def test_actions_decode_within_half_a_bin(value: float) -> None:
    found = float(continuous.decode(continuous.encode(value, compand=False), companded=False))
    assert abs(found - value) <= 1 / 1024 + 1e-15


@pytest.mark.fidelity("bin-centres")
@given(st.floats(-256, 256))
def test_observations_decode_within_half_a_bin_of_the_companded_value(value: float) -> None:
    found = continuous.decode(continuous.encode(value))
    assert abs(companded(found) - companded(np.float64(value))) <= 1 / 1024 + 1e-14


@pytest.mark.fidelity("bin-centres")
def test_decoding_has_no_bias() -> None:
    values = np.random.default_rng(0).uniform(-1, 1, 1_000_000)
    error = continuous.decode(continuous.encode(values, False), companded=False) - values
    assert abs(error.mean()) < 1e-5  # the left edges of the bins are off by 1e-3


@pytest.mark.fidelity("continuous-bins", "bin-centres")
def test_arguments_are_never_changed() -> None:
    values = np.array([[-2.0, 0.5], [0.0, 300.0]])
    ids = np.array([32000, 33023])
    kept = values.copy()
    for array in (values, ids):
        array.flags.writeable = False
    for compand in (True, False):
        continuous.encode(values, compand)
        continuous.decode(ids, compand)
    np.testing.assert_array_equal(values, kept)
    centres = continuous.decode(ids)
    centres[:] = 0  # a new array, not the table
    assert continuous.decode(ids)[0] != 0


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (5,), (3, 4, 5), (2, 70_000), (70_000, 2)])
@pytest.mark.parametrize("compand", [True, False])
def test_shapes(shape: tuple[int, ...], compand: bool) -> None:
    values = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    ids = continuous.encode(values, compand)
    assert ids.shape == shape
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, rule(np.asarray(values), compand))
    assert continuous.decode(ids, compand).shape == shape


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int64])
@pytest.mark.parametrize("shape", [(9, 4), (70_000, 3), (2, 50_000)])
@pytest.mark.parametrize("compand", [True, False])
def test_ids_go_into_a_part_of_a_larger_array(
    dtype: type, shape: tuple[int, int], compand: bool
) -> None:
    values = np.random.default_rng(1).normal(size=shape)
    tokens = np.full((shape[0], shape[1] + 3), 7, dtype)
    part = tokens[:, 2:-1]
    assert continuous.encode(values, compand, out=part) is part
    np.testing.assert_array_equal(part, rule(values, compand))
    assert (tokens[:, :2] == 7).all()
    assert (tokens[:, -1] == 7).all()


def test_values_with_gaps_and_in_another_order() -> None:
    values = np.random.default_rng(1).normal(size=(300, 400))
    for view in (values[::2, ::-3], values.T, np.asfortranarray(values)):
        np.testing.assert_array_equal(continuous.encode(view), rule(view, compand=True))


@pytest.mark.fidelity("continuous-clip")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("compand", [True, False])
def test_values_that_are_not_finite_are_refused(bad: float, dtype: type, compand: bool) -> None:
    values = np.zeros((40_000, 2), dtype)
    values[39_000, 1] = bad
    with pytest.raises(ValueError, match=r"(nan|inf) at index \(39000, 1\)"):
        continuous.encode(values, compand)


@pytest.mark.parametrize("bad", [0, 1023, 31999, 33024, -1, 2**40])
def test_ids_of_other_ranges_are_refused(bad: int) -> None:
    with pytest.raises(ValueError, match=rf"id {bad} at index \(1,\)"):
        continuous.decode(np.array([32000, bad]))


def test_wrong_types_are_refused() -> None:
    with pytest.raises(TypeError, match="complex"):
        continuous.encode(np.array([1j]))
    with pytest.raises(TypeError, match="real numbers"):
        continuous.encode(np.array(["a"]))
    with pytest.raises(TypeError, match="float64"):
        continuous.decode(np.array([32000.0]))


def test_unusable_outputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3,\)"):
        continuous.encode(np.zeros(2), out=np.zeros(3, np.uint16))
    for dtype in (np.uint8, np.int16, np.float32):
        with pytest.raises(ValueError, match="cannot hold"):
            continuous.encode(np.zeros(2), out=np.zeros(2, dtype))
