"""Replay buffers: what experience replay remembers, and how it draws from it."""

from skrl.runners.buffers.buffer import Buffer
from skrl.runners.buffers.prioritized_buffer import PrioritizedBuffer
from skrl.runners.buffers.replay_buffer import ReplayBuffer

__all__ = ["Buffer", "PrioritizedBuffer", "ReplayBuffer"]
