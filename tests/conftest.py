"""Check every array shape and dtype that a type hint of skrl states, at run time."""

from jaxtyping import install_import_hook

# The hook must be in place before the package's first import.
install_import_hook("skrl", "typechecker.check")
