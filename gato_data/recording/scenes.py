"""Recording scenes: name of a level in, WebDataset out."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gato_data.recording import babyai, registry, writer
from gato_data.recording.recorder import check_numbers
from gato_data.recording.scene_samples import Level, Sample
from gato_data.recording.scene_writer import write_scenes
from gato_data.storage import files


@dataclass(frozen=True)
class ScenesSummary:
    """What was recorded.

    Attributes:
      path: the folder of tar files, <output>/<data set>.
      scenes: number of them.
      size: bytes of the files.
    """

    path: str
    scenes: int
    size: int


def record_scenes(
    name: str,
    output: str,
    *,
    scenes: int,
    seed: int,
    progress: Callable[[int], None] | None = None,
) -> ScenesSummary:
    """Records scenes with captions, or with questions and answers, as WebDataset.

    Every scene is a pure function of (seed, name, its number): recording more of them adds to the
    same ones, and recording twice gives the same bytes.

    Args:
      name: as `available` lists it, such as babyai-captions/GoToLocal.
      output: folder or URL under which <data set>/scenes-00000.tar and so on are made.
      scenes: how many, at least 1; of questions an even number, or the last one lacks the scene
        that balances its answer.
      seed: at least 0.
      progress: is given the number of scenes recorded so far, after each.

    Raises:
      UsageError: unknown name, numbers out of range, the folder exists, or packages are missing.
    """
    check_numbers(scenes, seed, "scene")
    sample = registry.scenes(name)
    level = Level(babyai.ids()[name.partition("/")[2]], name, seed)
    path = files.join(output, registry.dataset_name(name))
    writer.require_absent(path)

    def recorded() -> Iterator[Sample]:
        for number in range(scenes):
            made = sample(level, number)
            # Before the yield: nobody comes back to a generator for what follows its last one.
            if progress is not None:
                progress(number + 1)
            yield made

    return ScenesSummary(path, scenes, write_scenes(path, recorded(), scenes))
