"""The reference transformer: a Gato that trains on finished builds, and acts.

Nothing here is imported before it is asked for: Keras picks its backend at its first import.
"""
