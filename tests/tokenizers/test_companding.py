"""The table of exact bin edges is what the rule says, and the same as when it was stored."""

import numpy as np
import pytest

from gato_data.tokenizers import companding


@pytest.fixture(scope="module")
def table() -> companding.CompandingTable:
    return companding.table()


def test_shapes_and_sentinels(table: companding.CompandingTable) -> None:
    assert table.edges.shape == (1025,)
    assert table.centres.shape == (1024,)
    assert table.edges[0] == -np.inf
    assert table.edges[1024] == np.inf


@pytest.mark.parametrize("number", [1, 2, 279, 511, 512, 513, 744, 1000, 1023])
def test_stored_edges_and_centres_are_those_of_the_rule(
    table: companding.CompandingTable, number: int
) -> None:
    assert table.edges[number] == companding.exact_edge(number)
    assert table.centres[number] == companding.exact_centre(number)


@pytest.mark.slow
def test_the_whole_file_is_what_the_generator_writes(capsys: pytest.CaptureFixture[str]) -> None:
    companding.main()
    assert capsys.readouterr().out == companding._FILE.read_text()


def test_every_edge_separates_two_bins(table: companding.CompandingTable) -> None:
    for number in range(1, 1024):
        edge = float(table.edges[number])
        assert companding.exact_bin(edge) == number
        assert companding.exact_bin(float(np.nextafter(edge, -np.inf))) == number - 1


def test_edges32_are_the_smallest_float32_not_below_the_edges(
    table: companding.CompandingTable,
) -> None:
    edges = table.edges[1:1024]
    above = table.edges32[1:1024]
    below = np.nextafter(above, np.float32(-np.inf))
    assert above.dtype == np.float32
    assert (above.astype(np.float64) >= edges).all()
    assert (below.astype(np.float64) < edges).all()


def test_tiny_negatives_round_to_the_bin_of_zero() -> None:
    assert companding.exact_bin(-1e-300) == 512
    assert companding.exact_bin(-1e-17) == 511


def test_centres_are_inside_their_bins_and_odd(table: companding.CompandingTable) -> None:
    assert (table.edges[:-1] < table.centres).all()
    assert (table.centres < table.edges[1:]).all()
    assert (table.centres == -table.centres[::-1]).all()


def test_the_table_cannot_be_changed(table: companding.CompandingTable) -> None:
    for values in (table.edges, table.edges32, table.centres):
        with pytest.raises(ValueError, match="read-only"):
            values[0] = 0
