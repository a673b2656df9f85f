"""Features in the shape of Open X-Embodiment sets, which publish theirs only beside the data.

Three that differ most from each other and from the sets of TFDS's own catalogue.
"""

from typing import Any

import numpy as np


def cameras_and_gripper() -> Any:
    """As in DROID: three cameras, action parts repeated beside the action, three instructions."""
    import tensorflow_datasets as tfds

    tensor, scalar = _vector, tfds.features.Scalar
    camera = tfds.features.Image(shape=(180, 320, 3), encoding_format="jpeg")
    return _episode(
        {
            "observation": {
                "exterior_image_1_left": camera,
                "exterior_image_2_left": camera,
                "wrist_image_left": camera,
                "cartesian_position": tensor(6, np.float64),
                "gripper_position": tensor(1, np.float64),
                "joint_position": tensor(7, np.float64),
            },
            "action": tensor(7, np.float64),
            "action_dict": {
                "cartesian_position": tensor(6, np.float64),
                "gripper_position": tensor(1, np.float64),
                "joint_velocity": tensor(7, np.float64),
            },
            "language_instruction": tfds.features.Text(),
            "language_instruction_2": tfds.features.Text(),
            "language_instruction_3": tfds.features.Text(),
            "reward": scalar(dtype=np.float32),
            "discount": scalar(dtype=np.float32),
        },
        {
            "episode_metadata": {
                "file_path": tfds.features.Text(),
                "recording_folderpath": tfds.features.Text(),
            }
        },
    )


def dictionary_actions() -> Any:
    """As in RT-1: actions in parts, one of them integers; texts as string tensors; embeddings."""
    import tensorflow_datasets as tfds

    text = tfds.features.Tensor(shape=(), dtype=np.str_)
    return _episode(
        {
            "observation": {
                "image": tfds.features.Image(shape=(256, 320, 3), encoding_format="jpeg"),
                "natural_language_embedding": _vector(512),
                "natural_language_instruction": text,
                "base_pose_tool_reached": _vector(7),
                "gripper_closed": _vector(1),
                "height_to_bottom": _vector(1),
                "robot_orientation_positions_box": tfds.features.Tensor(
                    shape=(3, 3), dtype=np.float32
                ),
            },
            "action": {
                "base_displacement_vector": _vector(2),
                "base_displacement_vertical_rotation": _vector(1),
                "gripper_closedness_action": _vector(1),
                "rotation_delta": _vector(3),
                "terminate_episode": _vector(3, np.int32),
                "world_vector": _vector(3),
            },
            "reward": tfds.features.Scalar(dtype=np.float32),
        },
        {
            "aspects": {
                "already_success": tfds.features.Scalar(dtype=np.bool_),
                "has_aspects": tfds.features.Scalar(dtype=np.bool_),
                "success": tfds.features.Scalar(dtype=np.bool_),
            },
            "attributes": {"objects_family": tfds.features.Scalar(dtype=np.int64)},
        },
    )


def no_reward() -> Any:
    """Without rewards and discounts: images of undeclared size, depth as floats, ragged goals."""
    import tensorflow_datasets as tfds

    return _episode(
        {
            "observation": {
                "hand_image": tfds.features.Image(shape=(None, None, 3), encoding_format="png"),
                "depth": tfds.features.Tensor(shape=(64, 64), dtype=np.float32),
                "goals": tfds.features.Sequence(_vector(2)),
                "state": _vector(27),
            },
            "action": _vector(7),
            "is_dense": tfds.features.Scalar(dtype=np.bool_),
            "language_embedding": _vector(512),
            "language_instruction": tfds.features.Text(),
        },
        {},
    )


SHAPES = {
    "cameras_and_gripper": cameras_and_gripper,
    "dictionary_actions": dictionary_actions,
    "no_reward": no_reward,
}


def _vector(size: int, dtype: Any = np.float32) -> Any:
    import tensorflow_datasets as tfds

    return tfds.features.Tensor(shape=(size,), dtype=dtype)


def _episode(step: dict[str, Any], metadata: dict[str, Any]) -> Any:
    import tensorflow_datasets as tfds

    flags = {name: tfds.features.Scalar(dtype=np.bool_) for name in ("is_first", "is_last")}
    steps = tfds.features.Dataset(tfds.features.FeaturesDict(step | flags))
    return tfds.features.FeaturesDict({"steps": steps, **metadata})
