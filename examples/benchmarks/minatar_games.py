"""The games of MinAtar as Gymnasium environments; needs neither skrl nor its peers."""

import logging
from typing import Any

import gymnasium
import numpy as np

GAMES = ["breakout", "asterix", "freeway", "seaquest", "space_invaders"]


class MinAtar(gymnasium.Env[np.ndarray, int]):
    """A game of MinAtar as a Gymnasium environment.

    Parameters
    ----------
    game : str
        Its name, such as "breakout".
    """

    def __init__(self, game: str) -> None:
        logging.disable(logging.WARNING)  # the packages that draw pictures are not installed
        from minatar import Environment

        logging.disable(logging.NOTSET)
        self.game = Environment(game)
        self.minimal_actions = self.game.minimal_action_set()
        self.action_space = gymnasium.spaces.Discrete(len(self.minimal_actions))
        self.observation_space = gymnasium.spaces.Box(0, 1, self.game.state_shape(), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.game.seed(seed)
        self.game.reset()
        return self._state(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        reward, terminated = self.game.act(self.minimal_actions[action])
        return self._state(), float(reward), bool(terminated), False, {}

    def _state(self) -> np.ndarray:
        return self.game.state().astype(np.uint8)
