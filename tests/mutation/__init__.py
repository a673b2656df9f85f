"""Known mistakes, put into a copy of the code one at a time: the tests must catch every one."""

from tests.mutation import corpora, filter, images, loading, prompts, sequences, tokens, windows
from tests.mutation.mutant import Mutant

ALL: tuple[Mutant, ...] = (
    *tokens.MUTANTS,
    *images.MUTANTS,
    *sequences.MUTANTS,
    *windows.MUTANTS,
    *corpora.MUTANTS,
    *prompts.MUTANTS,
    *filter.MUTANTS,
    *loading.MUTANTS,
)
