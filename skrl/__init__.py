"""Deep Q-learning with the scikit-learn estimator API."""

from skrl.agent import QLearningAgent
from skrl.base import Callback, Decision, Environment, Policy, QFunction, Run, Runner, Transitions
from skrl.environments import GymEnvironment, atari_env, diagnose, image_env, make_envs
from skrl.history import History
from skrl.persistence import inspect, load, save
from skrl.policies import (
    ConstantSchedule,
    EpsilonGreedy,
    ExponentialSchedule,
    Greedy,
    LinearSchedule,
    RandomPolicy,
    SegmentedEpsilonGreedy,
    Softmax,
)
from skrl.qfunctions import (
    C51,
    DQN,
    IQN,
    QRDQN,
    DoubleMemoizationQFunction,
    MemoizationQFunction,
    RandomQFunction,
    RegressorQFunction,
    TileCoding,
)
from skrl.runners import (
    Buffer,
    ExperienceReplay,
    ParallelQ,
    PrioritizedBuffer,
    ReplayBuffer,
    SimpleRunner,
)
from skrl.studies import Study, compare

__version__ = "0.1.0"

__all__ = [
    "C51",
    "DQN",
    "IQN",
    "QRDQN",
    "Buffer",
    "Callback",
    "ConstantSchedule",
    "Decision",
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
    "ParallelQ",
    "Policy",
    "PrioritizedBuffer",
    "QFunction",
    "QLearningAgent",
    "RandomPolicy",
    "RandomQFunction",
    "RegressorQFunction",
    "ReplayBuffer",
    "Run",
    "Runner",
    "SegmentedEpsilonGreedy",
    "SimpleRunner",
    "Softmax",
    "Study",
    "TileCoding",
    "Transitions",
    "atari_env",
    "compare",
    "diagnose",
    "image_env",
    "inspect",
    "load",
    "make_envs",
    "save",
]
