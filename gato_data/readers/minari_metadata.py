"""What a Minari data set says of itself: its metadata.json."""

import json
from dataclasses import dataclass
from typing import Any

from gato_data.errors import UsageError
from gato_data.readers.minari_spaces import Place, flag_places, space_places
from gato_data.storage import files

METADATA = "metadata.json"
# Bounds of a space of images are written out number by number: some megabytes.
_MAX_BYTES = 256 << 20
# More than that is a damaged number: nobody has collected so many.
_MAX_EPISODES = 10_000_000


@dataclass(frozen=True)
class Metadata:
    """The description of a data set.

    Attributes:
      folder: of the data: the one that holds metadata.json.
      form: how episodes are stored: "hdf5", "arrow" or "parquet".
      episodes: how many there are.
      places: the leaves of both spaces, with rewards and flags.
    """

    folder: str
    form: str
    episodes: int
    places: tuple[Place, ...]


def is_minari(directory: str) -> bool:
    """Whether a local folder looks like a Minari data set, or like the data folder of one."""
    return not files.is_remote(directory) and any(
        files.exists(files.join(folder, METADATA)) for folder in _folders(directory)
    )


def read_metadata(directory: str) -> Metadata:
    """Reads the description of a data set.

    Args:
      directory: of a data set such as …/NAME-v0, or the folder data in it.

    Raises:
      UsageError: there is no such data set, or it cannot be read.
    """
    if files.is_remote(directory):
        raise UsageError(
            f"{directory}: Minari data sets are read from local folders only. Copy it to this "
            "machine."
        )
    for folder in _folders(directory):
        path = files.join(folder, METADATA)
        try:
            return _metadata(folder, path, _read(path))
        except (FileNotFoundError, NotADirectoryError):
            continue
    what = "is no Minari data set: it has no data/metadata.json"
    if not files.exists(directory):
        what = "does not exist"
    raise UsageError(
        f"{directory}: {what}. Give the folder of one data set, such as NAMESPACE/NAME-v0, that "
        "Minari wrote."
    )


def _folders(directory: str) -> tuple[str, str]:
    return directory, files.join(directory, "data")


def _read(path: str) -> Any:
    with files.open_read(path) as file:
        text = file.read(_MAX_BYTES + 1)
    if len(text) > _MAX_BYTES:
        raise UsageError(f"{path}: larger than {_MAX_BYTES >> 20} MiB, which no description is.")
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: no valid JSON ({error}). Copy the data set again.") from None


def _metadata(folder: str, path: str, found: Any) -> Metadata:
    try:
        form, episodes = found["data_format"], found["total_episodes"]
        if type(episodes) is not int or not 0 <= episodes <= _MAX_EPISODES:
            raise ValueError(f"total_episodes {episodes!r}")
        spaces = [found.get(name) for name in ("observation_space", "action_space")]
        if None in spaces:
            raise UsageError(
                f"{path}: it holds no observation_space or no action_space. Minari would make the "
                "environment to learn them, which runs code that the data name, so it is not done "
                "here. Write the data set anew with a Minari version that stores the spaces."
            )
        places = space_places(*(json.loads(space) for space in spaces))
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise UsageError(
            f"{path}: not the description of a Minari data set ({error!r}). Copy it again."
        ) from None
    return Metadata(folder, str(form), episodes, (*places, *flag_places()))
