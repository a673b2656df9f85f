"""Short documents share sequences: none is lost, cut or put twice, and little room is wasted."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gato_data.sequencing import draws, packing
from gato_data.sequencing.packing import pack


def slow_pack(sizes: list[int], length: int, names: list[str], pass_number: int) -> list[list[int]]:
    """Best fit, looking at every open sequence each time."""

    def order(number: int) -> tuple[int, bytes]:
        key = draws.sort_key(7, "pack", "set", pass_number, names[number])
        return (-len(f"{sizes[number]:b}"), key)

    packed: list[list[int]] = []
    for number in sorted(range(len(sizes)), key=order):
        rooms = [length - sum(sizes[x] for x in found) for found in packed]
        fitting = [(room, x) for x, room in enumerate(rooms) if room >= sizes[number]]
        if fitting:
            packed[min(fitting)[1]].append(number)
        else:
            packed.append([number])
    return packed


@pytest.mark.fidelity("packing")
@given(sizes=st.lists(st.integers(1, 50), max_size=40), pass_number=st.integers(0, 3))
def test_it_is_best_fit(sizes: list[int], pass_number: int) -> None:
    names = [f"d{number}" for number in range(len(sizes))]
    found = pack(sizes, 50, 7, "set", names, pass_number)
    assert found == slow_pack(sizes, 50, names, pass_number)
    assert sorted(number for members in found for number in members) == list(range(len(sizes)))
    assert all(sum(sizes[number] for number in members) <= 50 for members in found)


@pytest.mark.fidelity("packing")
def test_a_case_by_hand() -> None:
    # 6 and 5 have three binary digits, 3 has two, 1 one: 6 and 5 open a sequence of 8 each, in a
    # seeded order; 3 fits only beside 5; 1 goes where 2 is left, as nothing is left beside 5 + 3.
    found = pack([1, 3, 5, 6], 8, 7, "set", ["a", "b", "c", "d"], 0)
    assert sorted(map(sorted, found)) == [[0, 3], [1, 2]]
    assert sorted(found) == [[2, 1], [3, 0]]


def test_little_room_is_wasted() -> None:
    chance = random.Random(0)
    sizes = [min(1023, max(2, int(chance.lognormvariate(5.3, 1)))) for _ in range(4096)]
    found = pack(sizes, 1024, 0, "set", [str(x) for x in range(4096)], 0)
    assert sum(sizes) / (len(found) * 1024) > 0.97


@pytest.mark.fidelity("packing")
def test_other_documents_meet_in_each_pass() -> None:
    sizes = [10] * 100
    names = [str(number) for number in range(100)]
    first, second = ({frozenset(x) for x in pack(sizes, 30, 0, "s", names, p)} for p in (0, 1))
    assert len(first & second) < 5


def test_the_order_of_the_input_does_not_matter() -> None:
    sizes = {"a": 3, "b": 9, "c": 4, "d": 8, "e": 5}
    found = []
    for names in (list(sizes), list(sizes)[::-1]):
        packed = pack([sizes[name] for name in names], 12, 0, "s", names, 0)
        found.append([[names[number] for number in members] for members in packed])
    assert found[0] == found[1]


def test_a_sequence_has_as_many_documents_as_its_field_can_number(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    assert packing._MOST == 32_768
    monkeypatch.setattr(packing, "_MOST", 3)
    found = pack([1] * 7, 100, 0, "s", list("abcdefg"), 0)
    assert [len(members) for members in found] == [3, 3, 1]
