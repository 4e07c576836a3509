"""Environments: Gymnasium's, and academic worlds of our own."""

from skrl.environments import worlds
from skrl.environments.gym_environment import GymEnvironment

__all__ = ["GymEnvironment", "worlds"]
