"""What a fitted agent is used for: choose actions, give action values, play, and be exported."""

import os
import warnings
from typing import Any

import gymnasium
import numpy as np
from jaxtyping import Float, Shaped
from numpy.random import SeedSequence
from sklearn.utils.validation import check_is_fitted

from skrl.base import ActionMasks, Actions, Environment, Policy, QFunction, States
from skrl.environments import as_environment
from skrl.environments.spaces import to_states
from skrl.evaluation import greedy_actions, play_episodes, side_by_side
from skrl.limits import check_count
from skrl.training import Parts


class PredictionMixin:
    """The methods of an agent that need what it has learned, and do not change it."""

    # What `fit` learned; see `QLearningAgent`.
    _parts: Parts
    qfunction_: QFunction
    policy_: Policy
    needs_action_masks_: bool
    observation_space_: gymnasium.Space[Any]
    action_space_: gymnasium.Space[Any]
    classes_: Shaped[np.ndarray, "n_actions *action_shape"]

    def predict(
        self, states: Any, action_mask: Any = None
    ) -> Shaped[np.ndarray, "*m_and_action_shape"] | np.generic:
        """Choose the action of highest value: greedy, without exploration.

        Parameters
        ----------
        states : observation, or array-like of shape (m, *observation_shape)
            One observation as the environment gives it, or a batch. (A batch of Dict or Tuple
            observations is a dict or tuple of batches.)
        action_mask : array-like of shape (n_actions,) or (m, n_actions), or None
            Which actions are allowed, such as ``info["action_mask"]``. None allows all.

        Returns
        -------
        ndarray of shape (m, *action_shape), or (*action_shape,) for a single observation
            Actions in the environment's own numbering. Of equally good actions the first.

        Warns
        -----
        UserWarning
            If the environment of training gave action masks, and `action_mask` is None. What was
            never allowed has not been learned, and may look like the best action.
        """
        batch, is_single = self._to_batch(states)
        masks = None if action_mask is None else self._to_masks(action_mask, len(batch))
        if masks is None and self.needs_action_masks_:
            warnings.warn(
                "The agent was trained with action masks. Without them it may choose actions that "
                'are not allowed: call predict(states, action_mask=info["action_mask"]).',
                stacklevel=2,
            )
        actions: np.ndarray = self.classes_[greedy_actions(self.qfunction_, batch, masks)]
        return actions[0] if is_single else actions

    def decision_function(self, states: Any) -> Float[np.ndarray, "*m n_actions"]:
        """Estimate the action values Q(s, .).

        Parameters
        ----------
        states : observation, or array-like of shape (m, *observation_shape)
            As for `predict`.

        Returns
        -------
        ndarray of shape (m, n_actions), or (n_actions,) for a single observation
        """
        batch, is_single = self._to_batch(states)
        values: np.ndarray = self.qfunction_.values(batch).copy()
        return values[0] if is_single else values

    def predict_proba(self, states: Any) -> Float[np.ndarray, "*m n_actions"]:
        """Give the probabilities with which the policy chooses, at the end of training.

        Parameters
        ----------
        states : observation, or array-like of shape (m, *observation_shape)
            As for `predict`.

        Returns
        -------
        ndarray of shape (m, n_actions), or (n_actions,) for a single observation
        """
        batch, is_single = self._to_batch(states)
        probabilities: np.ndarray = self.policy_.probabilities(batch, self.qfunction_, progress=1.0)
        return probabilities[0] if is_single else probabilities

    def score(self, env: Any, y: None = None, *, n_episodes: int = 100) -> float:
        """Play greedy episodes and give their mean return.

        Training never uses the seeds of these episodes; the same agent gets the same score every
        time.

        Parameters
        ----------
        env : str, callable, gymnasium.Env, gymnasium.vector.VectorEnv, Environment or list
            Where to play. The episodes are shared out equally among the environments of a list.
        y : None
            Ignored; scikit-learn's model selection passes it.
        n_episodes : int, default=100
            How many episodes.

        Returns
        -------
        float
            Mean undiscounted return. Episodes of an environment without a time limit are cut off
            after 100,000 steps, with a warning.
        """
        check_is_fitted(self, "qfunction_")
        check_count("n_episodes", n_episodes, least=1)
        original = as_environment(env)

        def choose(states: States, action_masks: ActionMasks | None) -> Actions:
            return greedy_actions(self.qfunction_, states, action_masks)

        # A branch of the seeds that `next_seed`, which counts from 0, never reaches.
        seed = int(
            SeedSequence(self._parts.seeds.entropy, spawn_key=(2**32 - 1,)).generate_state(1)[0]
        )
        environment = None
        try:
            self._check_spaces(original)
            environment = side_by_side(original, n_episodes)
            return float(play_episodes(environment, choose, n_episodes, seed).returns.mean())
        finally:
            for opened in (environment, None if original is env else original):
                if opened is not None:
                    opened.close()

    def export(self, path: str | os.PathLike[str]) -> None:
        """Write the network for programs without this library: as ONNX, LiteRT or SavedModel.

        The exported function takes states, as `predict` does, and returns their action values:
        those of `decision_function`, up to rounding. The scale of the states is part of it.
        `predict` chooses ``classes_[k]``, where k is the index of the highest value.

        Parameters
        ----------
        path : str or path-like
            Where to write. The suffix says the format: ``.onnx`` for ONNX (it needs
            ``pip install 'skrl-toolkit[export]'``), ``.tflite`` for LiteRT, and none for the
            folder of a TensorFlow SavedModel, whose endpoint is ``serve``. What is there is
            replaced.

        Raises
        ------
        NotFittedError
            If the agent is not fitted.
        TypeError
            If its Q function is not a network.
        ValueError
            If the suffix is another one, the folder of the file does not exist, or a package is
            missing.

        Examples
        --------
        >>> import tempfile
        >>> from pathlib import Path
        >>> from skrl import QLearningAgent
        >>> agent = QLearningAgent(n_steps=2_000, n_evaluations=0, random_state=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     agent.fit("CartPole-v1").export(Path(folder, "pole.tflite"))
        ...     print([file.name for file in Path(folder).iterdir()])
        ['pole.tflite']
        """
        check_is_fitted(self, "qfunction_")
        export = getattr(self.qfunction_, "export", None)
        if export is None:
            raise TypeError(
                f"Only networks can be exported, such as DQN, got {self.qfunction_!r:.80}. Use "
                "skrl.save to save any agent."
            )
        export(path)

    def _to_batch(self, observations: Any) -> tuple[States, bool]:
        """Translate one observation or a batch into states; tell whether it was one."""
        check_is_fitted(self, "qfunction_")
        return to_states(self.observation_space_, observations)

    def _to_masks(self, action_mask: Any, m: int) -> ActionMasks:
        """Check a mask of allowed actions, for one observation or a batch."""
        masks = np.atleast_2d(np.asarray(action_mask)).astype(bool)
        expected = m, len(self.classes_)
        if masks.shape != expected or not masks.any(axis=1).all():
            raise ValueError(
                f"action_mask must allow at least one action in every state, and have the shape "
                f"{expected}, got an array of shape {np.shape(action_mask)}: {action_mask!r:.80}."
            )
        return masks

    def _check_spaces(self, environment: Environment) -> None:
        trained = self.observation_space_, self.action_space_
        given = environment.observation_space, environment.action_space
        if trained != given:
            raise ValueError(
                f"The agent was trained with observation and action space {trained}, but this "
                f"environment has {given}. Fit a new agent for it."
            )
