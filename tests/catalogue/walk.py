"""One data set of the catalogue through the whole tool: described, planned, built, judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gato_data.report.describing.describe import describe
from pipelines.build_sequences import make_plan
from tests.building.builds import build, job_of, records
from tests.building.wide_actions import training_ids
from tests.catalogue.episodes import WORDS, random_episodes
from tests.oracle import Source, check_build, explain, rlds_fixtures
from tests.oracle.expert_return import kept_episodes

SEED = 5


@dataclass(frozen=True)
class Outcome:
    """What became of one data set.

    Attributes:
      config: that was built, as `describe` proposed it.
      manifest: of the build.
      problems: differences between its records and the oracle's.
      records: how many were compared.
    """

    config: Mapping[str, Any]
    manifest: Mapping[str, Any]
    problems: tuple[str, ...]
    records: int


def walk(
    features: Any,
    folder: Path,
    model: str,
    has_last_action: bool = False,
    reach: float = 1.0,
) -> Outcome:
    """Writes random episodes of these features and takes them from `describe` to records.

    Args:
      features: a TFDS FeaturesDict with `steps`.
      folder: empty.
      model: a SentencePiece model.
      has_last_action: whether the last step has an action and a reward.
      reach: how far actions go beyond 0.
    """
    directory = write(features, folder / "1.0.0", has_last_action, reach)
    path = folder / "config.yaml"
    page = describe(directory, str(path), name="catalogue", text_model=model).config
    config = yaml.safe_load(page)
    (dataset,) = config["datasets"]
    path.write_text(page)
    output = folder / "out"
    plan, _, _ = make_plan(job_of(path, output), workers=1)
    manifest = build(path, output)
    assert manifest["counts"]["sequences"] == plan.sequences
    source = Source(
        directory,
        dataset,
        text_model=model,
        length=config.get("sequence", {}).get("length", 1024),
        training=training_ids(output),
    )
    found = records(output)
    problems = [f"{r['sequence_id']}: {text}" for r in found for text in explain(r, source)]
    problems += check_build(found, source, kept=kept_episodes(source))
    return Outcome(config, manifest, tuple(problems), len(found))


def write(features: Any, directory: Path, has_last_action: bool = False, reach: float = 1.0) -> str:
    episodes = random_episodes(features, SEED, has_last_action=has_last_action, reach=reach)
    steps = dict(features["steps"].feature.items())
    declared = {key: x for key, x in features.items() if key != "steps"} | {"steps": steps}
    return rlds_fixtures.write_rlds(directory, declared, episodes)


def train_model(folder: Path) -> str:
    """A model for the words of the episodes."""
    sentences = [f"{a} {b}" for a in WORDS for b in WORDS]
    return rlds_fixtures.train_text_model(folder / "words.model", sentences)
