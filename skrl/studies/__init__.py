"""Studies: compare agents in several environments with many seeds."""

from skrl.studies.study import Study, compare

__all__ = ["Study", "compare"]
