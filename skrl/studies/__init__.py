"""Studies: many agents, environments and seeds, and what can be concluded from them."""

from skrl.studies.study import Study, compare

__all__ = ["Study", "compare"]
