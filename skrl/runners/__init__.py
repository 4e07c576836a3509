"""Runners: which transitions are learned from, and when."""

from skrl.runners.buffers import Buffer, PrioritizedBuffer, ReplayBuffer
from skrl.runners.experience_replay import ExperienceReplay
from skrl.runners.parallel_q import ParallelQ
from skrl.runners.simple import SimpleRunner

__all__ = [
    "Buffer",
    "ExperienceReplay",
    "ParallelQ",
    "PrioritizedBuffer",
    "ReplayBuffer",
    "SimpleRunner",
]
