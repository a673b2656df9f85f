"""Damaged content, whatever the libraries that find it call it."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from gato_data.errors import ContentError

# What the libraries raise of damaged content, besides OSError without a number.
_DAMAGE = (
    KeyError,
    OverflowError,
    RuntimeError,
    TypeError,
    ValueError,
    pa.ArrowException,
    struct.error,
)


@contextmanager
def damage_named() -> Iterator[None]:
    """Turns what the libraries raise of damaged content into ContentError.

    Raises:
      ContentError: what they raised.
      OSError: reading failed.
    """
    try:
        yield
    except ContentError:
        raise
    except OSError as error:
        # The system numbers its errors; HDF5 and Arrow call damage an OSError, too.
        if error.errno is not None:
            raise
        raise _damaged(error) from None
    except _DAMAGE as error:
        raise _damaged(error) from None


def _damaged(error: Exception) -> ContentError:
    """What a library said, on one line: Arrow writes several."""
    return ContentError(f"damaged ({' '.join(str(error).split())})")
