"""`python -m tests.catalogue` makes the table of docs/catalogue.md anew."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.catalogue import page
from tests.catalogue.builders import BUILDERS, reach_of, structures
from tests.catalogue.openx import SHAPES
from tests.catalogue.walk import train_model, walk


def rows(folder: Path) -> Iterator[page.Row]:
    model = train_model(folder)
    for builder in BUILDERS:
        (folder / builder).mkdir()
        for number, found in enumerate(structures(builder, folder / builder)):
            if found.is_rlds:
                target = folder / f"{builder}-{number}"
                outcome = walk(found.features, target, model, reach=reach_of(found.name))
                yield page.Row(found.name, len(found.configs), outcome)
                print(found.name, file=sys.stderr)
    for name, features in SHAPES.items():
        outcome = walk(features(), folder / name, model, True, reach_of(name))
        yield page.Row(name, 1, outcome)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        page.store(page.render(rows(Path(folder))))
