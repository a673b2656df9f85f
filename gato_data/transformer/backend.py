"""The backend of Keras, which is chosen once, before its first import."""

import os

from gato_data.errors import UsageError

VARIABLE = "KERAS_BACKEND"


def use_jax() -> None:
    """Chooses JAX, on which this library trains and acts.

    Raises:
      UsageError: Keras or JAX is missing, or Keras runs on another backend in this process.
    """
    os.environ.setdefault(VARIABLE, "jax")
    try:
        import jax  # noqa: F401
        import keras
    except ImportError as error:
        raise UsageError(
            f"Training and acting need packages that are not installed ({error}). Install them "
            "with: pip install 'gato-data[train]'"
        ) from error
    if keras.backend.backend() != "jax":
        raise UsageError(
            f"Keras runs on {keras.backend.backend()} here, but training and acting need JAX. Set "
            f"{VARIABLE}=jax before anything imports Keras."
        )
