"""Runs of the command line over corpora with faults, and what became of every record.

outcome = run("text", folder)
assert outcome.refused == {"a.txt#0": "its text is empty"}
"""

import io
import json
import tarfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli import main
from tests.building.builds import quarantine, records, write_config
from tests.oracle.corpora_records import picture

NAME = "corpus"
# As small as an image can be, so that a sequence has room for some.
SIDE = 16
RED = picture("png", SIDE, SIDE, 1)


@dataclass(frozen=True)
class Outcome:
    """What a command did.

    Attributes:
      status: its exit status.
      shown: what it wrote to standard output and to standard error.
      output: its output directory.
    """

    status: int
    shown: str
    output: Path

    @property
    def used(self) -> set[str]:
        """Ids of the records that stand in sequences."""
        return {name for record in records(self.output) for name in ids_of(record["episode_id"])}

    @property
    def groups(self) -> list[list[str]]:
        """Ids of the pairs, of each sequence."""
        return [ids_of(record["episode_id"]) for record in records(self.output)]

    @property
    def refused(self) -> dict[str, str]:
        """The reason by record, called `<file>#<record>`, of all records in quarantine."""
        return {f"{x['file']}#{x['record']}": x["reason"] for x in quarantine(self.output, NAME)}

    @property
    def offsets(self) -> dict[str, int]:
        """Where the records in quarantine begin."""
        return {f"{x['file']}#{x['record']}": x["offset"] for x in quarantine(self.output, NAME)}


def ids_of(title: str) -> list[str]:
    """Ids of the records of a sequence: of a document, or the list of a group or pack."""
    return list(json.loads(title)) if title.startswith("[") else [title]


class Runner:
    """Runs commands over one corpus, and holds each to what is true of all: no traceback."""

    def __init__(self, folder: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._model = model
        self._capsys = capsys

    def __call__(
        self, kind: str, path: str | Path, verb: str = "build", share: float = 0.9, **other: Any
    ) -> Outcome:
        """Runs a command.

        Args:
          kind: of the corpus.
          path: of its files.
          verb: `plan` or `build`.
          share: of the records that may go to the quarantine.
          other: keys of the data set; besides `output`, the name of the output directory, and
            `config`, `vocabulary`, `sequence` and `limits`: what else the config has.
        """
        config: dict[str, Any] = {
            "vocabulary": {"text_model": str(self._model)},
            "sequence": {"length": 64},
            "limits": {"quarantine_share": share},
        }
        config |= other.pop("config", {})
        for section in ("vocabulary", "sequence", "limits"):
            config[section] |= other.pop(section, {})
        output = self.folder / other.pop("output", "out")
        size = {} if kind == "text" else {"image_size": [SIDE, SIDE]}
        pairs = {"pairs": 2} if kind in ("image_text", "question_answer") else {}
        dataset = {"name": NAME, "kind": kind, "path": str(path), **size, **pairs, **other}
        file = write_config(self.folder, config | {"datasets": [dataset]})
        return self.run(verb, str(file), "--output", str(output), "--quiet", output=output)

    def run(self, *arguments: str, output: Path) -> Outcome:
        """Runs a command as it is typed."""
        status = main(list(arguments))
        captured = self._capsys.readouterr()
        shown = captured.out + captured.err
        for word in ("Traceback", "a defect of this program", "The Beam pipeline failed"):
            assert word not in shown, shown
        assert all(character.isprintable() or character == "\n" for character in shown)
        return Outcome(status, shown, output)


def jsonl(folder: Path, lines: Iterable[Mapping[str, Any] | bytes], name: str = "a.jsonl") -> Path:
    """A file of JSON lines; lines of bytes are written as they are."""
    folder.mkdir(parents=True, exist_ok=True)
    encoded = [x if isinstance(x, bytes) else json.dumps(x).encode() for x in lines]
    (folder / name).write_bytes(b"".join(line + b"\n" for line in encoded))
    return folder


def captions(count: int) -> list[dict[str, Any]]:
    """Lines with a caption each, of the image `red.png`."""
    return [{"image": "red.png", "text": f"a red square {number}"} for number in range(count)]


def picture_files(folder: Path, **others: bytes) -> Path:
    """A folder with `red.png`, and others by their names before `.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in {"red": RED, **others}.items():
        (folder / f"{name}.png").write_bytes(data)
    return folder


def tar(path: Path, members: Iterable[tuple[str, bytes] | tarfile.TarInfo]) -> Path:
    """A tar of regular members, and others as they are given; returns its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                archive.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                archive.addfile(info, io.BytesIO(member[1]))
    return path.parent


def samples(count: int) -> list[tuple[str, bytes]]:
    """Members of samples `0000`, `0001`, … of an image and a caption."""
    found = []
    for number in range(count):
        found += [(f"{number:04d}.png", RED), (f"{number:04d}.txt", b"a red square %d" % number)]
    return found


def names(file: str, numbers: Iterable[int]) -> set[str]:
    """Records of a file, as they are called without an id."""
    return {f"{file}#{number}" for number in numbers}
