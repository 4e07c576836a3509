"""How actions are chosen: policies, and the schedules of their settings."""

from skrl.policies.coherent import CoherentEpsilonGreedy
from skrl.policies.epsilon_greedy import EpsilonGreedy
from skrl.policies.greedy import Greedy
from skrl.policies.random_policy import RandomPolicy
from skrl.policies.schedules import (
    ConstantSchedule,
    ExponentialSchedule,
    LinearSchedule,
    Schedule,
)
from skrl.policies.softmax import Softmax

__all__ = [
    "CoherentEpsilonGreedy",
    "ConstantSchedule",
    "EpsilonGreedy",
    "ExponentialSchedule",
    "Greedy",
    "LinearSchedule",
    "RandomPolicy",
    "Schedule",
    "Softmax",
]
