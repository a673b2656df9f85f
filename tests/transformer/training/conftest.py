"""One small training that was never interrupted, and a memory of what was compiled."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.loading.conftest import other_text, two_passes  # noqa: F401


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where JAX keeps what it compiled: the same training is compiled once for all tests."""
    import jax
    from jax.experimental.compilation_cache import compilation_cache

    folder = tmp_path_factory.mktemp("compiled")
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    for name, value in zip(names, (str(folder), 0.0), strict=True):
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield folder
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def unbroken(
    tiny_build_arrow: Path, compiled: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The run of `small_runs`, of seven steps with checkpoints after 3, 6 and 7."""
    from gato_data.transformer.training.loop import train
    from tests.transformer.training.small_runs import HABITS, MODEL, TRAINING

    output = tmp_path_factory.mktemp("runs") / "unbroken"
    train(str(tiny_build_arrow), str(output), MODEL, TRAINING, habits=HABITS)
    return output
