"""Safe files: save an agent, load it without running any code of the file, look inside."""

from skrl.persistence.files import inspect, load, save

__all__ = ["inspect", "load", "save"]
