"""The same data through other readers, as most people write them: each a generator of token counts.

`tf_data` and `hugging_face` read a finished build; `per_step` reads the episodes themselves and
makes tokens while it loads, as loaders of RLDS do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

LENGTH = 1024
BATCH = 32
# What these readers shuffle in: sequences, and single steps.
_SEQUENCES, _STEPS = 1_000, 10_000
_FIELDS = ("tokens", "modality", "loss_mask", "local_position", "timestep", "segment")


def tf_data(build: Path) -> Iterator[int]:
    """TFRecord shards of a build by tf.data: interleaved, parsed one by one, a shuffle buffer."""
    import tensorflow as tf

    dtypes = dict(
        zip(_FIELDS, ("uint16", "uint8", "uint8", "int16", "int32", "int16"), strict=True)
    )

    def parse(record: Any) -> dict[str, Any]:
        features = dict.fromkeys(_FIELDS, tf.io.FixedLenFeature([], tf.string))
        found = tf.io.parse_single_example(record, features)
        return {
            name: tf.cast(tf.io.decode_raw(found[name], dtype), tf.int32)
            for name, dtype in dtypes.items()
        }

    paths = tf.data.Dataset.list_files(str(build / "data/*/1.0.0/*-train.tfrecord-*"))
    records = paths.interleave(tf.data.TFRecordDataset, num_parallel_calls=tf.data.AUTOTUNE)
    parsed = records.map(parse, num_parallel_calls=tf.data.AUTOTUNE)
    batches = parsed.repeat().shuffle(_SEQUENCES).batch(BATCH).prefetch(2)
    for batch in batches.as_numpy_iterator():
        yield batch["tokens"].size


def hugging_face(build: Path) -> Iterator[int]:
    """Arrow shards of a build by 🤗 Datasets: mapped, shuffled by index, formatted as numpy."""
    import datasets

    paths = sorted(build.glob("data/*/1.0.0/*-train-*.arrow"))
    parts = [datasets.Dataset.from_file(str(path)) for path in paths]
    whole = datasets.concatenate_datasets(parts)
    images = [name for name in ("patches", "patch_rows", "patch_columns") if "pixels" in build.name]
    chosen = whole.select_columns([*_FIELDS, *images]).with_format("numpy")
    epoch = 0
    while True:
        for batch in chosen.shuffle(seed=epoch, keep_in_memory=True).iter(BATCH):
            yield batch["tokens"].size
        epoch += 1


def per_step(episodes: Path) -> Iterator[int]:
    """Episodes by TFDS, their steps flat-mapped and shuffled, each step made tokens by itself."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    def bins(values: Any) -> Any:
        return 32_000 + tf.cast((tf.clip_by_value(values, -1.0, 1.0) + 1.0) * 511.99, tf.int32)

    def tokens(step: Any) -> Any:
        state = step["observation"]["state"]
        companded = tf.sign(state) * tf.math.log1p(100.0 * tf.abs(state)) / tf.math.log(25_601.0)
        parts = [bins(companded), tf.constant([33_024]), bins(step["action"])]
        if "image" in step["observation"]:
            image = tf.cast(step["observation"]["image"], tf.float32)
            patches = tf.image.extract_patches(
                image[None], [1, 16, 16, 1], [1, 16, 16, 1], [1, 1, 1, 1], "VALID"
            )
            return tf.concat([tf.fill([16], 33_026), *parts], 0), tf.reshape(patches, [16, 768])
        return tf.concat(parts, 0), tf.zeros([0, 768])

    found = tfds.builder_from_directory(str(episodes)).as_dataset("train", shuffle_files=True)
    steps = found.repeat().flat_map(lambda episode: episode["steps"]).shuffle(_STEPS)
    # Batched by tokens: as many steps as make a sequence.
    size = 31 if "pixels" in episodes.name else 24
    batches = (
        steps.map(tokens, num_parallel_calls=tf.data.AUTOTUNE)
        .batch(LENGTH // size, drop_remainder=True)
        .batch(BATCH)
        .prefetch(2)
    )
    for batch, _ in batches.as_numpy_iterator():
        yield batch.size
