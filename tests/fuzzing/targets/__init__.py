"""All targets by name."""

from tests.fuzzing.target import Target
from tests.fuzzing.targets import builds, corpora, episodes, settings, shards, training, values

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (values, episodes, corpora, settings, shards, builds, training)
    for target in module.TARGETS
}
