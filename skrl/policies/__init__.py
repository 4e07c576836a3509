"""How actions are chosen: policies, and the schedules of their settings."""

from skrl.policies.epsilon_greedy import EpsilonGreedy
from skrl.policies.greedy import Greedy
from skrl.policies.random_policy import RandomPolicy
from skrl.policies.schedules import (
    ConstantSchedule,
    ExponentialSchedule,
    LinearSchedule,
    Schedule,
)
from skrl.policies.segmented import SegmentedEpsilonGreedy
from skrl.policies.softmax import Softmax

__all__ = [
    "ConstantSchedule",
    "EpsilonGreedy",
    "ExponentialSchedule",
    "Greedy",
    "LinearSchedule",
    "RandomPolicy",
    "Schedule",
    "SegmentedEpsilonGreedy",
    "Softmax",
]
