"""Callbacks: what watches a run."""

from skrl.callbacks.checkpoint import Checkpoint
from skrl.callbacks.csv_logger import CSVLogger
from skrl.callbacks.evaluation import Evaluation
from skrl.callbacks.progress import ProgressBar
from skrl.callbacks.tensorboard import TensorBoard

__all__ = ["CSVLogger", "Checkpoint", "Evaluation", "ProgressBar", "TensorBoard"]
