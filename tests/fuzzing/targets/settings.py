"""Documents that people write: configs, and mixtures of builds."""

from pathlib import Path

import yaml

from gato_data.config import config_from_json, load_config
from gato_data.loading.sources import read_sources
from tests.fuzzing.target import Target
from tests.fuzzing.targets.data_sets import RELEASED

_CONFIGS = Path(__file__).parents[3] / "configs"
_WORDS = (
    *(
        b"&a ",
        b"*a",
        b"<<: ",
        b"!!python/object/apply:os.system",
        b"!!binary ",
        b"? ",
        b"--- ",
        b"|\n",
    ),
    *(b"{", b"}", b"[" * 40, b"- ", b": ", b"\t", b"\xef\xbb\xbf", b"\xff\xfe", b"0o17", b".nan"),
    *(
        b"1:30",
        b"~",
        b"name: ../x",
        b"kind: text",
        b"path: ../../..",
        b"%YAML 9.9\n",
        b"\\U00110000",
    ),
    *(b"filter: ", b"action_range: ", b"datasets: ", b"quantiles: [0, 1]"),
)


def _configs() -> list[bytes]:
    return [path.read_bytes() for path in sorted(_CONFIGS.glob("*.yaml"))]


def _read_config(data: bytes, folder: Path) -> None:
    path = folder / "config.yaml"
    path.write_bytes(data)
    config = load_config(str(path))
    assert config_from_json(config.to_json()) == config


_MIXTURE = {
    str(RELEASED / "arrow"): {"weight": 2.5, "datasets": {"toy": 2, "texts": 1}},
    str(RELEASED / "tfrecord"): 1,
}


def _read_mixture(data: bytes, folder: Path) -> None:
    path = folder / "mixture.yaml"
    path.write_bytes(data)
    read_sources(str(path), "train")


TARGETS = (
    Target("config", _configs, _read_config, _WORDS),
    Target(
        "mixture",
        lambda: [yaml.safe_dump(_MIXTURE).encode()],
        _read_mixture,
        (*_WORDS, b"weight: ", b"datasets: ", b".inf", b"/etc"),
    ),
)
