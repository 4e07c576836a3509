"""Optimizers by name."""

from collections.abc import Callable
from typing import Any

from skrl.qfunctions.deep.tensorflow import keras


def make_optimizer(optimizer: str | Callable[[float], Any], learning_rate: float) -> Any:
    """Turn an optimizer's name or factory into a Keras optimizer."""
    if callable(optimizer):
        try:
            made = optimizer(learning_rate)
        except TypeError as error:
            raise TypeError(f"optimizer={optimizer!r} does not take a number: {error}.") from error
        if not isinstance(made, keras.optimizers.Optimizer):
            raise TypeError(
                f"optimizer must make a keras.optimizers.Optimizer from a learning rate, got "
                f"{made!r} from {optimizer!r}."
            )
        return made
    if optimizer == "radam":
        from skrl.qfunctions.deep.radam import RAdam  # needs Keras to be loaded

        return RAdam(learning_rate)
    config = {"class_name": optimizer, "config": {"learning_rate": learning_rate}}
    try:
        return keras.optimizers.get(config)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"optimizer={optimizer!r} is not a Keras optimizer. Give a name such as 'adam', "
            "'radam' or 'rmsprop', or a function (learning_rate) -> keras.optimizers.Optimizer."
        ) from error
