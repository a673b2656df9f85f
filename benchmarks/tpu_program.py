"""What a compiled program of XLA does besides computing, as its text tells."""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# An instruction's operation stands behind its type, whose own brackets follow no blank and letter.
_INSTRUCTION = re.compile(r"^\s*(?:ROOT )?%([\w.\-]+) = (.*)$")
_OPERATION = re.compile(r" ([a-z][\w\-]*)\(")
_COMPUTATION = re.compile(r"^(ENTRY )?%([\w.\-]+) .*\{$")
_NAME = re.compile(r"%([\w.\-]+)")
_TARGET = re.compile(r'custom_call_target="([^"]*)"')
# What a TPU asks its host for in the middle of a program, as in `jax.pure_callback`.
_HOST_OPERATIONS = {"infeed", "outfeed"}
_HOST_MARKS = re.compile(r"is_host_transfer=true", re.IGNORECASE)
_HOST_TARGETS = re.compile(r"callback|host", re.IGNORECASE)
_SUMS = ("all-reduce", "reduce-scatter")
_COLLECTIVES = (*_SUMS, "all-gather", "all-to-all", "collective-permute")


@dataclass(frozen=True)
class Instruction:
    """A line of a program.

    Attributes:
      name: its own.
      operation: what it does, such as "fusion".
      kind: the type of its result.
      rest: operands and attributes.
    """

    name: str
    operation: str
    kind: str
    rest: str

    def named(self) -> list[str]:
        """Operands, and computations that it calls."""
        return _NAME.findall(self.rest)


@dataclass(frozen=True)
class Program:
    """A compiled program.

    Attributes:
      computations: instructions by the names of computations.
      entry: the name of the one that runs.
    """

    computations: Mapping[str, list[Instruction]]
    entry: str

    def instructions(self) -> Iterator[Instruction]:
        for computation in self.computations.values():
            yield from computation

    def host_exchanges(self) -> list[str]:
        """Instructions that ask or tell the host something while the program runs."""
        found = []
        for one in self.instructions():
            targets = _TARGET.findall(one.rest)
            if (
                one.operation in _HOST_OPERATIONS
                or _HOST_MARKS.search(one.rest)
                or any(_HOST_TARGETS.search(target) for target in targets)
            ):
                found.append(f"{one.operation} {one.name} {' '.join(targets)}".strip())
        return found

    def collectives(self) -> dict[str, int]:
        """How many exchanges between chips there are, by their name."""
        found = dict.fromkeys(_COLLECTIVES, 0)
        for one in self.instructions():
            name = one.operation.removesuffix("-start")
            if name in found:
                found[name] += 1
        return {name: count for name, count in found.items() if count}

    def divides_by_global_count(self, chips: int) -> bool:
        """Whether gradients wait for a number that so many chips have summed up.

        A gradient depends on the number of targets, by which the loss is divided, and on no loss:
        so the only single number that chips can have to sum up before they add their gradients
        is that of the targets.

        Args:
          chips: along the axis of the mesh that cuts the batch.
        """
        entry = self.computations[self.entry]
        after: set[str] = set()  # what depends on such a number
        for one in entry:
            if after.intersection(one.named()):
                after.add(one.name)
                if self._sums(one):
                    return True
            elif self._sums(one) and "f32[]" in one.kind and _group(one.rest) >= chips:
                after.add(one.name)
        return False

    def _sums(self, one: Instruction) -> bool:
        """Whether chips add something up in an instruction, or in what it calls."""
        if one.operation.startswith(_SUMS):
            return True
        called = (self.computations.get(name, ()) for name in one.named())
        return any(self._sums(inner) for computation in called for inner in computation)


def read_program(text: str) -> Program:
    """Reads the text of an optimised program: `compiled.as_text()`."""
    computations: dict[str, list[Instruction]] = {}
    entry, current = "", []
    for line in text.splitlines():
        begins = _COMPUTATION.match(line)
        if begins:
            current = computations.setdefault(begins[2], [])
            entry = begins[2] if begins[1] else entry
            continue
        known = _INSTRUCTION.match(line)
        operation = _OPERATION.search(" " + known[2]) if known else None
        if known and operation:
            split = operation.start() - 1
            current.append(Instruction(known[1], operation[1], known[2][:split], known[2][split:]))
    return Program(computations, entry)


def _group(rest: str) -> int:
    """How many chips add up together, by the attributes of a collective.

    They are written as lists, {{0,1},{2,3}}; as a shape, [groups, chips]<=[…]; or as axes of a
    mesh, mesh['a'=4,'b'=2] {'a'}.
    """
    of_mesh = re.search(r"replica_groups=mesh\[([^\]]*)\] \{([^}]*)\}", rest)
    if of_mesh:
        sizes = dict(re.findall(r"'([^']+)'=(\d+)", of_mesh[1]))
        return math.prod(int(sizes[name]) for name in re.findall(r"'([^']+)'", of_mesh[2]))
    shaped = re.search(r"replica_groups=\[\d+,(\d+)\]<=", rest)
    if shaped:
        return int(shaped[1])
    listed = re.search(r"replica_groups=\{\{([\d,]*)\}", rest)
    return len(listed[1].split(",")) if listed else 0
