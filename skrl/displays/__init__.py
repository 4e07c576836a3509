"""What people look at: learning curves, values, studies, schedules."""

from skrl.displays.learning_curve import LearningCurveDisplay
from skrl.displays.live import LiveCurve
from skrl.displays.schedule import ScheduleDisplay
from skrl.displays.study import StudyDisplay
from skrl.displays.training import TrainingDisplay
from skrl.displays.values import ValueDisplay

__all__ = [
    "LearningCurveDisplay",
    "LiveCurve",
    "ScheduleDisplay",
    "StudyDisplay",
    "TrainingDisplay",
    "ValueDisplay",
]
