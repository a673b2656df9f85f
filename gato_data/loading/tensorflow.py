"""Batches as a `tf.data.Dataset`."""

from collections.abc import Iterator

import tensorflow as tf

from gato_data.loading.batches import Batch
from gato_data.loading.loader import Loader

# The loader has its own threads; here, a batch becomes tensors while another one is used.
_PREFETCH = 2


def as_dataset(loader: Loader) -> tf.data.Dataset:
    """The batches of a loader; each iteration begins where the loader stands then.

    Args:
      loader: stays where it is.

    Returns:
      A data set of dictionaries of tensors of static shapes; texts are UTF-8. Under `tf.distribute`
      each process keeps all that its own loader makes.
    """
    signature = {
        name: tf.TensorSpec(shape, tf.string if dtype.hasobject else dtype)
        for name, (shape, dtype) in loader.element_spec.items()
    }

    def batches() -> Iterator[Batch]:
        running = loader.run()
        try:
            for batch, _ in running:
                yield batch
        finally:
            running.close()

    options = tf.data.Options()
    # Each process loads its own slice already: what TensorFlow would cut away here would be lost.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    found = tf.data.Dataset.from_generator(batches, output_signature=signature)
    return found.prefetch(_PREFETCH).with_options(options)
