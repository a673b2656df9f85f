"""Building again what a manifest describes: the same config, limit, text model and inputs.

The manifest has the config as it was written, so relative paths start from a folder that has to be
given again. The text model is the copy beside the manifest. The inputs are held to the names, sizes
and digests that the manifest states; what came out is held to its digests of the sequences.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gato_data.building.context import Job
from gato_data.building.contexts import Context
from gato_data.building.index import IndexedFile
from gato_data.building.plan import versions
from gato_data.config import PictureConfig, config_from_json
from gato_data.errors import GatoDataError, UsageError
from gato_data.masking import is_masked
from gato_data.records.manifest import MANIFEST, MODEL_FILE, read_manifest
from gato_data.storage import files
from gato_data.tokenizers.text import TextTokenizer

# Changed inputs that a message names.
_NAMED = 5


@dataclass(frozen=True)
class Original:
    """A finished build that is to be made again.

    Attributes:
      path: of its manifest.
      manifest: its content.
    """

    path: str
    manifest: Mapping[str, Any]

    @classmethod
    def read(cls, path: str) -> "Original":
        """Reads a manifest.

        Raises:
          UsageError: the path names none, or it is damaged or of a newer schema.
        """
        if files.name_of(path) != MANIFEST:
            raise UsageError(f"{path}: name the {MANIFEST} of a finished build, in its directory.")
        return cls(path, read_manifest(files.parent_of(path) or "."))

    def job(self, folder: str, output: str) -> Job:
        """The same build into another directory.

        Args:
          folder: that the relative paths of the config start from.
          output: directory of the build.

        Raises:
          UsageError: the manifest lacks what opened the inputs, or the copy of the text model is
            missing or another one.
        """
        config = config_from_json(self.manifest["config"], self.path)
        for dataset in config.datasets:
            images = dataset.images if isinstance(dataset, PictureConfig) else None
            for address in (dataset.path, images):
                if address is not None and is_masked(address):
                    raise UsageError(
                        f"{self.path}: data set '{dataset.name}' was read from {address}, and a "
                        "manifest keeps no passwords. Build from the config, and give keys by the "
                        "environment, so that addresses need none."
                    )
        return Job(config, folder, output, self.manifest["limit"], self._checked_model())

    def _checked_model(self) -> str | None:
        """The copy of the text model beside the manifest; None where there is none."""
        stated = self.manifest["vocabulary"]["text_model"]
        if stated is None:
            return None
        path = files.join(files.parent_of(self.path), MODEL_FILE)
        found = TextTokenizer.load(path).digest
        if found != stated["sha256"]:
            raise UsageError(
                f"{path}: its sha256 is {found}, {self.path} says {stated['sha256']}. Copy the "
                "text model of that build beside its manifest."
            )
        return path

    def check_files(self, contexts: Mapping[str, Context]) -> None:
        """Holds the input files to what the manifest says, before any is read.

        Raises:
          UsageError: names those that are missing, more, or of another size.
        """
        found = {
            name: {file: context.source.size(file) for file in context.source.files}
            for name, context in contexts.items()
        }
        self._refuse([x for name in found for x in self._resized(name, found[name])])

    def check_content(self, indexed: Mapping[str, Sequence[IndexedFile]]) -> None:
        """Holds the content of the input files to what the manifest says.

        Raises:
          UsageError: names those that changed.
        """
        changed = []
        for name, of_set in indexed.items():
            stated = {row["file"]: row["digest"] for row in self._inputs(name)}
            changed += [
                f"{file.name} of data set '{name}' has other records"
                for file in of_set
                if stated.get(file.name) != file.digest
            ]
        self._refuse(changed)

    def _inputs(self, dataset: str) -> Sequence[Mapping[str, Any]]:
        rows: Sequence[Mapping[str, Any]] = self.manifest["datasets"][dataset]["inputs"]
        return rows

    def _resized(self, dataset: str, found: Mapping[str, int]) -> Iterator[str]:
        stated = {row["file"]: row["size"] for row in self._inputs(dataset)}
        of_set = f"of data set '{dataset}'"
        for file in sorted(stated.keys() | found.keys()):
            if file not in found:
                yield f"{file} {of_set} is missing"
            elif file not in stated:
                yield f"{file} {of_set} was not there"
            elif stated[file] != found[file]:
                yield f"{file} {of_set} has {found[file]} bytes instead of {stated[file]}"

    def _refuse(self, changed: Sequence[str]) -> None:
        if changed:
            more = f", and {len(changed) - _NAMED} more" if len(changed) > _NAMED else ""
            raise UsageError(
                f"{self.path}: the inputs are not those of that build: "
                f"{', '.join(changed[:_NAMED])}{more}. Bring back the data as they were, or build "
                "from the config."
            )

    def check_result(self, manifest: Mapping[str, Any]) -> None:
        """Holds what was built to the digests of the sequences.

        Raises:
          GatoDataError: other sequences came out; names the libraries that differ.
        """
        changed = [
            name
            for name, stated in self.manifest["datasets"].items()
            if manifest["datasets"][name]["content"] != stated["content"]
        ]
        if changed:
            here, then = versions(), self.manifest["versions"]
            others = [
                f"{name} {here.get(name)} instead of {then.get(name)}"
                for name in sorted(here.keys() | then.keys())
                if here.get(name) != then.get(name)
            ]
            raise GatoDataError(
                f"{self.path}: the build is complete, but the data set '{changed[0]}' has other "
                f"sequences than that build ({', '.join(others) or 'with the same libraries'}). "
                "Install the versions that its manifest names, and build into another directory."
            )
