"""Records environments: episodes with their experts as RLDS/TFDS directories, and scenes with
captions or questions as WebDataset.

An extra (`pip install 'gato-data[build,envs]'`): the library itself never needs environments.
Importing this module imports none of them, nor TensorFlow; recording does.
"""

from gato_data.recording.recorder import RecordingSummary, record
from gato_data.recording.registry import available, dataset_name, records_scenes
from gato_data.recording.scenes import ScenesSummary, record_scenes

__all__ = [
    "RecordingSummary",
    "ScenesSummary",
    "available",
    "dataset_name",
    "record",
    "record_scenes",
    "records_scenes",
]
