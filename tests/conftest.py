"""Every array shape and dtype that a type hint states is checked; how many examples are drawn."""

from hypothesis import HealthCheck, settings
from jaxtyping import install_import_hook

# The hook must be in place before the package's first import.
install_import_hook("skrl", "typechecker.check")

ALWAYS = {"deadline": None, "suppress_health_check": list(HealthCheck), "derandomize": True}
settings.register_profile("quick", max_examples=10, **ALWAYS)
settings.register_profile("thorough", max_examples=1000, **ALWAYS)
settings.load_profile("quick")
