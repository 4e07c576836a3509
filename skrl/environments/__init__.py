"""Gymnasium's environments, as the learning loop uses them, and small academic worlds."""

from skrl.environments import worlds
from skrl.environments.doctor import Diagnosis, diagnose
from skrl.environments.gym_environment import GymEnvironment, as_environment
from skrl.environments.images import atari_env, image_env
from skrl.environments.items import EnvironmentItem, EnvironmentPair, make_envs
from skrl.environments.symptoms import Finding

__all__ = [
    "Diagnosis",
    "EnvironmentItem",
    "EnvironmentPair",
    "Finding",
    "GymEnvironment",
    "as_environment",
    "atari_env",
    "diagnose",
    "image_env",
    "make_envs",
    "worlds",
]
