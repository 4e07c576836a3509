"""Our own Keras layers. Importing this module loads TensorFlow."""

from typing import Any

from skrl.qfunctions.deep.tensorflow import keras, tf

# With up to so many columns, sums are faster than XLA's matrix products.
FEW = 4


class FewOutputs(keras.layers.Dense):
    """A linear `keras.layers.Dense`, whose gradient is fast if it has only a few outputs.

    The matrix products of XLA are made for large matrices. In the backward pass of a layer with
    two outputs, one per action of CartPole, they take 5 to 10 times as long as plain sums, and a
    sixth of a whole update of a network with two layers of 64 units.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl.qfunctions.deep.layers import FewOutputs
    >>> layer = FewOutputs(2)
    >>> layer(np.ones((5, 64), np.float32)).shape
    TensorShape([5, 2])
    """

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Evaluate the layer on a tensor of shape (B, n)."""
        return times_few_columns(inputs, self.kernel.value) + self.bias


@tf.custom_gradient  # type: ignore[untyped-decorator]
def times_few_columns(x: Any, matrix: Any) -> tuple[Any, Any]:
    """The matrix product, with a gradient that goes column by column."""

    def gradient(d: Any) -> tuple[Any, Any]:
        by_column = [d[:, k, tf.newaxis] for k in range(matrix.shape[1])]
        # d x = d M^T and d M = x^T d, written as sums over the columns of d
        d_x = tf.add_n([column * matrix[:, k] for k, column in enumerate(by_column)])
        d_matrix = tf.stack([tf.reduce_sum(x * column, axis=0) for column in by_column], axis=1)
        return d_x, d_matrix

    return x @ matrix, gradient
