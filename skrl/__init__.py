"""Deep Q-learning with the scikit-learn estimator API."""

from skrl.agent import QLearningAgent
from skrl.base import Callback, Environment, Policy, QFunction, Run, Runner, Transitions
from skrl.environments import GymEnvironment
from skrl.history import History
from skrl.policies import (
    ConstantSchedule,
    EpsilonGreedy,
    ExponentialSchedule,
    Greedy,
    LinearSchedule,
    RandomPolicy,
    Softmax,
)
from skrl.qfunctions import DQN, MemoizationQFunction, RandomQFunction
from skrl.runners import ExperienceReplay, SimpleRunner

__version__ = "0.1.0"

__all__ = [
    "DQN",
    "Callback",
    "ConstantSchedule",
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
    "QFunction",
    "QLearningAgent",
    "RandomPolicy",
    "RandomQFunction",
    "Run",
    "Runner",
    "SimpleRunner",
    "Softmax",
    "Transitions",
]
