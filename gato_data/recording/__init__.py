"""Records episodes of environments with their experts as RLDS/TFDS directories.

An extra (`pip install 'gato-data[build,envs]'`): the library itself never needs environments.
Importing this module imports none of them, nor TensorFlow; recording does.
"""

from gato_data.recording.recorder import RecordingSummary, record
from gato_data.recording.registry import available, dataset_name

__all__ = ["RecordingSummary", "available", "dataset_name", "record"]
