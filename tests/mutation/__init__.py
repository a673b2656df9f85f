"""Known mistakes, put into a copy of the code one at a time: the tests must catch every one."""

from tests.mutation import filter, prompts, sequences, tokens
from tests.mutation.mutant import Mutant

ALL: tuple[Mutant, ...] = (*tokens.MUTANTS, *sequences.MUTANTS, *prompts.MUTANTS, *filter.MUTANTS)
