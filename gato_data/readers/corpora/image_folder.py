"""Images that a record names instead of holding them: files in a folder of the data set."""

import errno
import os
import posixpath
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gato_data.errors import ContentError
from gato_data.storage import files

# What fsspec and servers read more into than a name: chains of file systems; control characters,
# which addresses drop; and, in addresses of the web, escapes, queries and fragments.
_NO_REMOTE_NAME = re.compile(r"::|[\x00-\x1f\x7f]")
_NO_WEB_NAME = re.compile(r"[%?#]")
# What a file system says of a name that no file can have.
_NO_NAME = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
# Characters of a name that a message shows.
_SHOWN = 200


@dataclass(frozen=True)
class ImageFolder:
    """A folder of image files; nothing outside it is ever read.

    Attributes:
      path: local or an fsspec URL.
      largest: bytes of the images that a record names, all in all; more are refused unread.
    """

    path: str
    largest: int

    def read(self, name: str, taken: int = 0) -> bytes:
        """The bytes of an image.

        Args:
          name: of its file, in the folder or in one below.
          taken: bytes of images that the record named before.

        Raises:
          ContentError: there is no such file, it is too large, or its name leads out of the folder.
          OSError: reading failed.
        """
        path = self._inside(name)
        try:
            size = self._size(path)
            if taken + size > self.largest:
                raise ContentError(
                    f"with the image {_shown(name)} of {size} bytes it names {taken + size} bytes "
                    f"of images, more than `limits.record_bytes` {self.largest}"
                )
            return files.read_range(path, 0, size)
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
            raise ContentError(f"there is no image {_shown(name)} in {self.path}") from None
        except OSError as error:
            if error.errno not in _NO_NAME:
                raise
            reason = os.strerror(error.errno)
            raise ContentError(f"no image can be called {_shown(name)}: {reason}") from None

    def _inside(self, name: str) -> str:
        """The path of an image.

        Raises:
          ContentError: it is not in the folder.
        """
        name = self._relative(name)
        parts = name.replace("\\", "/").split("/")
        if not name or "\0" in name or ".." in parts or "://" in name or posixpath.isabs(name):
            raise ContentError(
                f"the image name {_shown(name)} leads out of {self.path}; `images` names the "
                "folder that images are looked for in"
            )
        try:
            name.encode()
        except UnicodeEncodeError:
            raise ContentError(f"the image name {_shown(name)} is no text") from None
        # A disk takes a/./b for a/b, a store does not.
        path = files.join(self.path, posixpath.normpath(name))
        if files.is_remote(path) and _is_no_remote_name(self.path, name):
            raise ContentError(
                f"the image name {_shown(name)} has characters that mean something else in an "
                f"address such as {self.path}"
            )
        local = files.local_path(path)
        if local is not None:
            folder = os.path.realpath(files.local_path(self.path) or "")
            if os.path.commonpath([folder, os.path.realpath(local)]) != folder:
                raise ContentError(
                    f"the image {_shown(name)} is a link that leads out of {self.path}"
                )
        return path

    def _relative(self, name: str) -> str:
        """A whole path that leads into the folder as a name in it; others as they are."""
        if not os.path.isabs(name) or "\0" in name:
            return name
        folder = files.local_path(self.path)
        if folder is None:
            return name
        folder = os.path.abspath(folder)
        return os.path.relpath(name, folder) if name.startswith(f"{folder}/") else name

    def _size(self, path: str) -> int:
        local = files.local_path(path)
        # Reading a pipe waits for ever, and devices have no end.
        if local is not None and not stat.S_ISREG(os.stat(local).st_mode):
            raise FileNotFoundError(path)
        return files.size_of(path)


def _is_no_remote_name(folder: str, name: str) -> bool:
    is_web = folder.startswith(("http://", "https://"))
    return bool(_NO_REMOTE_NAME.search(name) or (is_web and _NO_WEB_NAME.search(name)))


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN else f"{name[:_SHOWN]}...")


def encoded_images(value: Any, folder: ImageFolder) -> tuple[Any, list[bytes]]:
    """An image field with encoded images in it, and those of them that the folder gave.

    Args:
      value: bytes, the name of a file, the struct of bytes and path that 🤗 Datasets writes, or a
        list of these and None.

    Raises:
      ContentError: it is none of these, or the folder has no such image, or they are too large.
      OSError: reading failed.
    """
    named = _Named(folder, [])
    return named.encoded(value), named.images


@dataclass
class _Named:
    """The images that one record names."""

    folder: ImageFolder
    images: list[bytes]
    size: int = 0

    def encoded(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [None if item is None else self.encoded(item) for item in value]
        inner = _of_struct(value) if isinstance(value, Mapping) else value
        if isinstance(inner, bytes):
            return inner
        if not isinstance(inner, str):
            raise ContentError(
                f"its image is {type(value).__name__}: neither bytes, nor the name of a file, nor "
                "a mapping with bytes or path"
            )
        data = self.folder.read(inner, self.size)
        self.images.append(data)
        self.size += len(data)
        return data


def _of_struct(value: Mapping[str, Any]) -> Any:
    """The bytes of an image if it has any, else the path: 🤗 Datasets may write both."""
    data = value.get("bytes")
    return data if isinstance(data, bytes) and data else value.get("path")
