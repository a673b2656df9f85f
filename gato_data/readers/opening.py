"""Opens a data set by its kind, and tells the kind of a folder."""

from gato_data.errors import UsageError
from gato_data.readers.minari_metadata import is_minari
from gato_data.readers.source import Source
from gato_data.storage import files

RLDS, MINARI = "rlds", "minari"
FEATURES = "features.json"


def open_kind(kind: str, directory: str, split: str = "train") -> Source:
    """The reader of a kind, opened. Each one is imported when it is needed.

    Args:
      kind: as in the config.
      directory: where the data set lies.
      split: of a TFDS directory; other kinds have none.

    Raises:
      UsageError: there is no such data set, or it cannot be read.
    """
    if kind == MINARI:
        from gato_data.readers.minari_source import MinariSource

        return MinariSource.open(directory)
    from gato_data.readers.rlds_source import RldsSource

    return RldsSource.open(directory, split)


def kind_of(directory: str) -> str | None:
    """The kind of the data set in a folder, told by the files that describe it; None: of none."""
    # First, because TFDS, too, may write a metadata.json.
    if files.exists(files.join(directory, FEATURES)):
        return RLDS
    return MINARI if is_minari(directory) else None


def open_path(directory: str, split: str = "train") -> Source:
    """The data set in a folder, whatever its kind.

    Raises:
      UsageError: there is no data set, or it cannot be read.
    """
    kind = kind_of(directory)
    if kind is None:
        raise UsageError(
            f"{directory}: holds no data set that can be read: neither {FEATURES}, which TFDS "
            "writes, nor data/metadata.json, which Minari writes."
        )
    return open_kind(kind, directory, split)
