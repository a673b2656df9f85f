"""Blocks of code of a page, run as they stand."""

import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str = "python") -> dict[str, str]:
    """The block of a language under each heading that has one, by heading."""
    text = (DOCS / page).read_text()
    found: dict[str, str] = {}
    heading = ""
    pattern = r"^#+ ([^\n]+)$|^```(\w*)\n(.*?)^```"
    for title, of, code in re.findall(pattern, text, re.DOTALL | re.MULTILINE):
        heading = title or heading
        if of == language:
            # A second one has the heading with a dash.
            name = heading if heading not in found else f"{heading} -"
            assert name not in found, f"{heading} has three blocks"
            found[name] = code
    return found


def run(code: str, **given: Any) -> dict[str, Any]:
    """Runs a block, which finds some names; returns all that it leaves."""
    names: dict[str, Any] = {"__name__": "__main__", **given}
    exec(compile(code, "block", "exec"), names)
    return names
