"""Our own Keras layers. Importing this module loads TensorFlow."""

from typing import Any

import numpy as np

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


class NoisyDense(keras.layers.Dense):
    """A `keras.layers.Dense` with noise on its weights, whose size is learned.

    New noise is drawn in every call with ``training=True``, the same for the whole batch. Other
    calls compute with the means of the weights (Fortunato et al., 2018, "Noisy networks for
    exploration", with factorised Gaussian noise).

    The arguments are those of `keras.layers.Dense`. The seed of the `kernel_initializer` is also
    that of the noise.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl.qfunctions.deep.layers import NoisyDense
    >>> layer, x = NoisyDense(2), np.ones((1, 64), np.float32)
    >>> bool(np.array_equal(layer(x), layer(x)))
    True
    >>> bool(np.array_equal(layer(x, training=True), layer(x, training=True)))
    False
    """

    sigma_0 = 0.5  # section 3.2

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Make the means mu and the sizes sigma of the weights."""
        super().build(input_shape)
        seed = getattr(self.kernel_initializer, "seed", None)
        self.seed_generator = keras.random.SeedGenerator(seed)
        # sigma = sigma_0 / sqrt(p)
        sigma = keras.initializers.Constant(self.sigma_0 / np.sqrt(input_shape[-1]))
        self.kernel_sigma = self.add_weight(self.kernel.shape, sigma, name="kernel_sigma")
        if self.use_bias:
            self.bias_sigma = self.add_weight(self.bias.shape, sigma, name="bias_sigma")

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        """Evaluate the layer on a tensor of shape (B, p)."""
        kernel, bias = self.kernel.value, self.bias.value if self.use_bias else 0.0
        if training:
            f_in, f_out = self._draw(kernel.shape[0]), self._draw(self.units)
            # w_ij = mu_ij + sigma_ij f(e_i) f(e_j), b_j = mu_j + sigma_j f(e_j)
            kernel = kernel + self.kernel_sigma.value * (f_in[:, tf.newaxis] * f_out)
            if self.use_bias:
                bias = bias + self.bias_sigma.value * f_out
        product = times_few_columns(inputs, kernel) if self.units <= FEW else inputs @ kernel
        return self.activation(product + bias)

    def _draw(self, n: int) -> Any:
        """The factors f(e) of n inputs or outputs, with e from the normal distribution."""
        e = keras.random.normal((n,), seed=self.seed_generator)
        # f(e) = sgn(e) sqrt(|e|)
        return tf.sign(e) * tf.sqrt(tf.abs(e))
