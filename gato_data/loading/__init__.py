"""Batches of a built data set, as numpy arrays of static shapes."""

from gato_data.loading.loader import load

__all__ = ["load"]
