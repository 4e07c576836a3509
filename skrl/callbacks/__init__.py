"""Callbacks: what watches a run."""

from skrl.callbacks.evaluation import Evaluation
from skrl.callbacks.progress import ProgressBar

__all__ = ["Evaluation", "ProgressBar"]
