"""A small build of each released schema, as the release that brought the schema wrote it.

They are never written anew: what reads builds today has to read them as they are.
"""
