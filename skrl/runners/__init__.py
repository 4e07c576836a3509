"""Runners: which transitions are learned from, and when."""

from skrl.runners.buffers.prioritized_buffer import PrioritizedBuffer
from skrl.runners.buffers.replay_buffer import ReplayBuffer
from skrl.runners.experience_replay import ExperienceReplay
from skrl.runners.prioritized_replay import PrioritizedReplay
from skrl.runners.simple import SimpleRunner

__all__ = [
    "ExperienceReplay",
    "PrioritizedBuffer",
    "PrioritizedReplay",
    "ReplayBuffer",
    "SimpleRunner",
]
