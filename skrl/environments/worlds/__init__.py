"""Small academic worlds with known optimal values, registered with Gymnasium under ``skrl/``."""

import gymnasium

from skrl.environments.worlds.blind_cliffwalk import BlindCliffwalk
from skrl.environments.worlds.circular_world import CircularWorld
from skrl.environments.worlds.corridor import Corridor
from skrl.environments.worlds.interval_world import IntervalWorld
from skrl.environments.worlds.maximization_bias import MaximizationBias

__all__ = ["BlindCliffwalk", "CircularWorld", "Corridor", "IntervalWorld", "MaximizationBias"]

for world in (BlindCliffwalk, CircularWorld, Corridor, IntervalWorld, MaximizationBias):
    # Gymnasium warns if an id is registered twice, for instance by reloading this module.
    if (world_id := f"skrl/{world.__name__}-v0") not in gymnasium.registry:
        gymnasium.register(
            id=world_id,
            entry_point=f"{world.__module__}:{world.__name__}",
            max_episode_steps=100,
        )
