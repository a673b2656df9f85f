"""Data sets of which one file is the input: taken all the way to tokens, as a build does."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from gato_data.building.context import DatasetContext, Job
from gato_data.building.contexts import Context, open_context
from gato_data.building.index import index_file, index_path, read_index
from gato_data.config import load_config
from gato_data.errors import ContentError
from gato_data.sequencing.documents import tokenise
from gato_data.tokenizers.text import TextTokenizer

RELEASED = Path(__file__).parents[2] / "records/released/1.0"
NAME = "input"
# Records are small here; a larger one is a fault of its own.
_RECORD_BYTES = 1 << 20


@cache
def text_model() -> TextTokenizer:
    return TextTokenizer.load(str(RELEASED / "arrow/vocabulary.model"))


def reader(
    dataset: dict[str, Any], file: str, others: Callable[[Path], None] = lambda _: None
) -> Callable[[bytes, Path], None]:
    """What reads an input as a file of a data set.

    Args:
      dataset: its section of the config, without name and path.
      file: the path of the input below that of the data set.
      others: writes the other files of the data set.
    """

    def run(data: bytes, folder: Path) -> None:
        place = folder / NAME
        path = place / file
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            others(place)
        path.write_bytes(data)
        job = Job(_config(folder, dataset), str(folder), str(folder / "out"))
        read_all(open_context(job, NAME, text_model()))

    return run


_configs: dict[tuple[Path, str], Any] = {}


def _config(folder: Path, dataset: dict[str, Any]) -> Any:
    key = folder, repr(dataset)
    if key not in _configs:
        whole = {
            "vocabulary": {"text_model": "text.model"},
            "sequence": {"length": 2048},
            "limits": {"record_bytes": _RECORD_BYTES},
            "datasets": [{"name": NAME, "path": NAME, **dataset}],
        }
        path = folder / "config.yaml"
        path.write_text(yaml.safe_dump(whole))
        _configs[key] = load_config(str(path))
    return _configs[key]


def read_all(context: Context) -> None:
    """Indexes all files, and makes tokens of every record that the index has no fault of.

    Raises:
      ContentError: what is wrong with the records.
    """
    faults = []
    for file in list(context.source.files)[:4]:
        Path(index_path(context.job.output, NAME, file)).unlink(missing_ok=True)
        index_file(context, file)
        rows = read_index(context.job.output, NAME, [file]).to_pylist()
        faults += [row["fault"] for row in rows if row["fault"] is not None]
        good = [row for row in rows if row["fault"] is None]
        for _, content in context.source.read(good):
            faults += _faults_of(context, content)
    if faults:
        raise ContentError("; ".join(faults[:3]))


def _faults_of(context: Context, content: Any) -> list[str]:
    """Makes tokens of a record; what is wrong with it."""
    try:
        if isinstance(context, DatasetContext):
            context.tokenise(content).tokens()
            return []
        found = tokenise(
            context.documents(content), context.fitting, context.text, context.vocabulary
        )
        return [str(one) for one in found if isinstance(one, ContentError)]
    except ContentError as error:
        return [str(error)]
