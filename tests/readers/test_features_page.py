"""`docs/features.md` speaks of every feature that TFDS has."""

from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs/features.md"
# Exported beside the features: documentation, types, the base class, and a value of BBoxFeature.
NO_FEATURES = {"BBox", "DocArg", "Documentation", "Encoding", "FeatureConnector", "TensorInfo"}


def test_every_feature_is_on_the_page() -> None:
    import tensorflow_datasets as tfds

    names = {
        name
        for name, found in vars(tfds.features).items()
        if isinstance(found, type) and issubclass(found, tfds.features.FeatureConnector)
    }
    assert set(tfds.features.__all__) - NO_FEATURES <= names
    assert {"Translation", "TranslationVariableLanguages", "Video"} <= names
    page = PAGE.read_text()
    missing = [name for name in sorted(names - NO_FEATURES) if f"`{name}" not in page]
    assert missing == []
