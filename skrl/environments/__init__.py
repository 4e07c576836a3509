"""Gymnasium's environments, as the learning loop uses them, and small academic worlds."""

from skrl.environments import worlds
from skrl.environments.doctor import Diagnosis, diagnose
from skrl.environments.gym_environment import GymEnvironment, as_environment
from skrl.environments.items import EnvironmentItem, make_envs
from skrl.environments.symptoms import Finding

__all__ = [
    "Diagnosis",
    "EnvironmentItem",
    "Finding",
    "GymEnvironment",
    "as_environment",
    "diagnose",
    "make_envs",
    "worlds",
]
