"""The spaces of an environment of `gato_data.recording`, as a policy takes them."""

from gato_data.recording.environment import Discrete, ExpertEnvironment, Field, Image, Tensor
from gato_data.transformer.policy.spaces import (
    ActionSpace,
    ContinuousActions,
    DiscreteActions,
    Numbers,
    ObservationSpace,
    Picture,
    Spaces,
    Words,
)


def spaces_of(environment: ExpertEnvironment) -> Spaces:
    """What an environment offers; its observations are recorded in the dtypes that it declares."""
    observed = {key: _observed(field) for key, field in environment.observation.items()}
    return Spaces(observed, {"": _acted(environment)})


def _observed(field: Field) -> ObservationSpace:
    if isinstance(field, Tensor):
        return Numbers(field.shape, field.dtype)
    if isinstance(field, Image):
        return Picture((field.height, field.width, 3))
    return Words()


def _acted(environment: ExpertEnvironment) -> ActionSpace:
    if isinstance(environment.action, Discrete):
        return DiscreteActions((environment.action.count,))
    return ContinuousActions((environment.action.size,))
