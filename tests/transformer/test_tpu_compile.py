"""The table of compiled training steps, and a step that the compiler of TPUs compiles."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import tpu_compile
from benchmarks.tpu_compile import BEGIN, COLUMNS, END, Case, Compiled, cases, line, merge

PAGE = Path(__file__).parents[2] / "docs" / "tpu.md"
GIGA = 10**9


def compiled(case: Case, mesh: tuple[int, int], peak: int) -> Compiled:
    return Compiled(case, mesh, GIGA, peak, {}, (), 1.0)


def test_every_preset_is_compiled_for_both_chips_with_images_and_without() -> None:
    found = {(one.preset, one.topology.partition(":")[0], one.images) for one in cases()}
    wanted = {
        (preset, chip, images)
        for preset in ("79m", "364m", "1.18b")
        for chip in ("v5e", "v5p")
        for images in (True, False)
    }
    assert wanted <= found
    assert any(one.model > 1 for one in cases())


def test_a_line_of_the_table() -> None:
    first = Case("79m", "v5e:4x4", 8, True)
    told = ["79m", "v5e:4x4", "16 × 1", "whole", "splash", "no", "yes", "128"]
    assert line(compiled(first, (16, 1), 4 * GIGA)) == [*told, "1.0", "4.0", "25 %"]
    assert line(compiled(first, (16, 1), 0)) == [*told, "–", "–", "does not fit"]
    other = Case("1.18b", "v5p:2x2x4", 32, False, model=4, fsdp=True, remat=True)
    told = ["1.18b", "v5p:2x2x4", "4 × 4", "shared", "splash", "yes", "no", "128"]
    assert line(compiled(other, (4, 4), 19 * GIGA)) == [*told, "1.0", "19.0", "20 %"]


def test_lines_of_other_cases_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = Case("79m", "v5e:4x4", 8, True), Case("364m", "v5e:4x4", 8, True, model=2)
    monkeypatch.setattr(tpu_compile, "cases", lambda: [first, second])
    one, two = compiled(first, (16, 1), GIGA), compiled(second, (8, 2), GIGA)
    page = f"Before.\n\n{BEGIN}\n{END}\n\nAfter.\n"
    page = merge(merge(page, [line(two)]), [line(one)])
    rows = [row for row in page.splitlines() if row.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows] == ["preset", "---", "79m", "364m"]
    assert page.startswith("Before.\n\n<!--")
    assert page.endswith("-->\n\nAfter.\n")
    more = compiled(first, (16, 1), 2 * GIGA)
    assert "| 1.0 | 2.0 | 12 % |" in merge(page, [line(more)])
    # A case that is compiled no more goes.
    monkeypatch.setattr(tpu_compile, "cases", lambda: [second])
    assert "| 79m |" not in merge(page, [])
    with pytest.raises(ValueError, match="needs the lines"):
        merge("No table.", [])


def test_the_page_has_only_lines_that_hold() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert merge(text, []) == text
    table = text.partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    assert table[0] == f"| {' | '.join(COLUMNS)} |"
    for row in table[2:]:
        share = row.split("|")[-2]
        assert 0 < int(share.replace("%", "")) <= 100, row


# In a process of its own: Keras would give values to the variables of a later scope.
COMPILES = """
import dataclasses, json
from benchmarks import tpu_compile
found = {}
for number, case in enumerate([
    tpu_compile.Case("tiny", "v5e:2x2", 2, True, model=2),
    tpu_compile.Case("tiny", "v5e:2x2", 2, False, fsdp=True, remat=True),
]):
    found[number] = dataclasses.asdict(tpu_compile.compile_case(case))
tpu_compile.MEMORY["v5e"] = 1e6
small = tpu_compile.compile_case(tpu_compile.Case("tiny", "v5e:2x2", 2, False))
print(json.dumps([found, small.faults]))
"""


@pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None, reason="libtpu is not installed: make tpu-compile"
)
def test_a_small_model_compiles_for_tpus() -> None:
    output = subprocess.run(
        [sys.executable, "-c", COMPILES],
        check=True,
        capture_output=True,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    ).stdout
    found, faults = json.loads(output)
    for one, mesh in zip(found.values(), ([2, 2], [4, 1]), strict=True):
        assert one["mesh"] == mesh
        assert one["faults"] == []
        assert one["state"] < one["peak"] < 4 * GIGA
        assert one["collectives"]["all-reduce"] >= 1
    # Three numbers of four bytes for each weight, a quarter of most of them on a chip.
    assert found["1"]["state"] < found["0"]["state"] / 3
    assert len(faults) == 1
    assert "GB of 0.0" in faults[0]
