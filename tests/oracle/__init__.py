"""A slow second derivation of Gato sequences from RLDS files, to judge the library by.

Written from the paper and the design in plain loops. It imports nothing from the library and
keeps its own constants, so that one mistake cannot stand in both places.
"""

from tests.oracle.build import check_build
from tests.oracle.explain import explain
from tests.oracle.source import Source

__all__ = ["Source", "check_build", "explain"]
