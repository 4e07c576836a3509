"""Deep Q-learning with the scikit-learn estimator API."""

from skrl.agent import QLearningAgent
from skrl.base import Callback, Environment, Policy, QFunction, Run, Runner, Transitions
from skrl.environments import GymEnvironment, make_envs
from skrl.history import History
from skrl.policies import (
    CoherentEpsilonGreedy,
    ConstantSchedule,
    EpsilonGreedy,
    ExponentialSchedule,
    Greedy,
    LinearSchedule,
    RandomPolicy,
    Softmax,
)
from skrl.qfunctions import (
    DQN,
    QRDQN,
    DoubleMemoizationQFunction,
    MemoizationQFunction,
    RandomQFunction,
    RegressorQFunction,
    TileCoding,
)
from skrl.runners import ExperienceReplay, PrioritizedReplay, SimpleRunner
from skrl.studies.study import Study, compare

__version__ = "0.1.0"

__all__ = [
    "DQN",
    "QRDQN",
    "Callback",
    "CoherentEpsilonGreedy",
    "ConstantSchedule",
    "DoubleMemoizationQFunction",
    "Environment",
    "EpsilonGreedy",
    "ExperienceReplay",
    "ExponentialSchedule",
    "Greedy",
    "GymEnvironment",
    "History",
    "LinearSchedule",
    "MemoizationQFunction",
    "Policy",
    "PrioritizedReplay",
    "QFunction",
    "QLearningAgent",
    "RandomPolicy",
    "RandomQFunction",
    "RegressorQFunction",
    "Run",
    "Runner",
    "SimpleRunner",
    "Softmax",
    "Study",
    "TileCoding",
    "Transitions",
    "compare",
    "make_envs",
]
