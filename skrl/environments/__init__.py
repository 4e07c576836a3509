"""Gymnasium's environments, as the learning loop uses them, and small academic worlds."""

from skrl.environments import worlds
from skrl.environments.gym_environment import GymEnvironment, as_environment
from skrl.environments.items import EnvironmentItem, make_envs

__all__ = ["EnvironmentItem", "GymEnvironment", "as_environment", "make_envs", "worlds"]
