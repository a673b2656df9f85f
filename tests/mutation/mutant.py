"""A mutant: one known mistake, put into the code as a replacement of one piece of text."""

import ast
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Mutant:
    """One mistake.

    Attributes:
      name: what the report and `docs/mistakes.md` call it.
      rule: of `docs/rules.md`, which it breaks; the tests of this rule run first.
      file: of the code, from the root of the repository.
      old: a piece of the file that occurs once.
      new: what stands there with the mistake.
    """

    name: str
    rule: str
    file: str
    old: str
    new: str

    def apply(self, root: Path) -> str:
        """The text of the file with the mistake.

        Raises:
          ValueError: the piece does not occur exactly once, or what comes out is no Python.
        """
        text = (root / self.file).read_text()
        count = text.count(self.old)
        if count != 1:
            raise ValueError(
                f"{self.name}: {self.file} holds this piece {count} times instead of once: "
                f"{self.old!r}. The code has changed: write the mutant anew in tests/mutation."
            )
        mutated = text.replace(self.old, self.new)
        try:
            ast.parse(mutated)
        except SyntaxError as error:
            raise ValueError(
                f"{self.name}: the mutated {self.file} is no Python: {error}"
            ) from None
        if self.new == self.old:
            raise ValueError(f"{self.name}: changes nothing.")
        return mutated
