"""The type checker that jaxtyping's import hook applies to every function of skrl."""

from typing import Any, Self

from beartype import BeartypeConf, FrozenDict, beartype

check = beartype(
    conf=BeartypeConf(
        # An int will do where a float is expected (PEP 484's numeric tower).
        is_pep484_tower=True,
        # beartype understands Self only where it decorates whole classes.
        hint_overrides=FrozenDict({Self: Any}),
    )
)
