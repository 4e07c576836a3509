"""Small academic worlds with known optimal values, registered with Gymnasium under ``skrl/``."""

import gymnasium

from skrl.environments.worlds.circular_world import CircularWorld
from skrl.environments.worlds.interval_world import IntervalWorld

__all__ = ["CircularWorld", "IntervalWorld"]

for world in (CircularWorld, IntervalWorld):
    # Registering an id twice, as reloading this module would, makes Gymnasium warn.
    if (world_id := f"skrl/{world.__name__}-v0") not in gymnasium.registry:
        gymnasium.register(
            id=world_id,
            entry_point=f"{world.__module__}:{world.__name__}",
            max_episode_steps=100,
        )
