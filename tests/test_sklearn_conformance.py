"""scikit-learn's own checks, tags and HTML, on the agent and its parts."""

import inspect
import warnings

import numpy as np
import pytest
from scipy.sparse import issparse
from sklearn.model_selection import cross_val_score
from sklearn.utils import ClassifierTags, get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator, parametrize_with_checks

from skrl import (
    DQN,
    EpsilonGreedy,
    ExperienceReplay,
    GymEnvironment,
    LinearSchedule,
    MemoizationQFunction,
    QLearningAgent,
    SegmentedEpsilonGreedy,
    SimpleRunner,
)
from skrl.environments.worlds import MaximizationBias

RING = "skrl/CircularWorld-v0"


def toy_world():
    """Four states and four actions (as many as there are classes in scikit-learn's toy data)."""
    return MaximizationBias(n_arms=4)


def to_states(X):
    """Map each row to a state, by its first number."""
    rows = X.toarray() if issparse(X) else np.asarray(X)
    return np.floor(7 * rows.reshape(len(rows), -1)[:, 0]).astype(np.int64) % 4


class ToyAgent(QLearningAgent):
    """What scikit-learn's checks can deal with: whatever X is, it stands for the toy world."""

    # Here in the tests, types are checked at run time; scikit-learn gives wrong ones on purpose.
    __init__ = inspect.unwrap(QLearningAgent.__init__)

    def fit(self, X, y=None):
        return super().fit(toy_world)

    def partial_fit(self, X, y=None, *, n_steps=None):
        return super().partial_fit(toy_world, n_steps=n_steps)

    def score(self, X, y=None, *, n_episodes=2):
        return super().score(toy_world, n_episodes=n_episodes)

    def predict(self, X):
        return super().predict(to_states(X))

    def decision_function(self, X):
        return super().decision_function(to_states(X))

    def predict_proba(self, X):
        return super().predict_proba(to_states(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        # Otherwise hardly any check would be run.
        tags.input_tags.two_d_array = True
        tags.input_tags.sparse = True
        # The checks of sparse data expect them of whatever has `predict_proba`.
        tags.classifier_tags = ClassifierTags()
        return tags


def small(**parameters):
    return ToyAgent(n_steps=200, n_evaluations=1, n_evaluation_episodes=2, **parameters)


def deep():
    replay = ExperienceReplay(batch_size=8, train_freq=64, gradient_steps=2, learning_starts=64)
    return small(qfunction=DQN((4,)), runner=replay)


@parametrize_with_checks([small()])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.slow
@parametrize_with_checks([deep()])
def test_scikit_learns_checks_with_a_network(estimator, check):
    check(estimator)


def test_those_are_many_checks():
    """Not only the few that are left where tags say that a class is not to be checked."""
    assert len(list(estimator_checks_generator(small()))) >= 33


def test_the_agents_tags_say_that_x_is_no_matrix():
    tags = get_tags(QLearningAgent())
    assert not tags.input_tags.two_d_array
    assert tags.no_validation
    assert not tags.target_tags.required
    assert not tags.non_deterministic
    assert tags.estimator_type is None


def test_the_tags_do_not_stand_in_the_way_of_model_selection():
    agent = QLearningAgent(n_steps=200, n_evaluations=0, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = cross_val_score(agent, [toy_world] * 4, cv=2)
    assert np.isfinite(scores).all()


def test_html_of_an_agent_shows_its_parts_and_whether_it_is_fitted():
    agent = QLearningAgent(
        MemoizationQFunction(0.25),
        SegmentedEpsilonGreedy(LinearSchedule(0.75, 0.0)),
        SimpleRunner(),
        n_steps=200,
        n_evaluations=0,
    )
    before = agent._repr_html_()
    assert "<span>Not fitted</span>" in before
    for shown in ("QLearningAgent", "MemoizationQFunction", "SegmentedEpsilonGreedy", "0.75"):
        assert shown in before
    agent.fit(RING)
    after = agent._repr_html_()
    assert "<span>Fitted</span>" in after
    assert "<span>Not fitted</span>" not in after


def in_use():
    """One part of each kind, after it was used."""
    environment = GymEnvironment(RING)
    environment.reset(seed=0)
    qfunction = DQN((4,)).build(environment.state_space, environment.n_actions, 0)
    runner, policy = SimpleRunner(), EpsilonGreedy(0.25)
    runner.run(environment, qfunction, policy, n_steps=3, rng=0)
    return [environment, qfunction, policy, runner]


@pytest.mark.parametrize("i", range(4), ids=["environment", "qfunction", "policy", "runner"])
def test_html_of_a_part_is_the_same_before_and_after_use(i):
    fresh = [GymEnvironment(RING), DQN((4,)), EpsilonGreedy(0.25), SimpleRunner()][i]
    for part in (fresh, in_use()[i]):
        html = part._repr_html_()
        assert type(part).__name__ in html
        for name, value in part.get_params(deep=False).items():
            assert name in html
            assert str(value)[:20] in html
