"""Our own Keras layers. Importing this module loads TensorFlow."""

from typing import Any, no_type_check

import numpy as np

from skrl.qfunctions.deep.operations import MIDPOINTS, N_COSINES
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


class ImplicitQuantiles(keras.layers.Layer):
    """Turns a linear output layer into one that gives quantiles of its outputs.

    The inputs of the output layer, which are the features of a state, are multiplied by an
    embedding of the level tau of the quantile (Dabney et al., 2018, "Implicit quantile networks for
    distributional reinforcement learning"). With ``training=True``, levels are drawn, the same for
    the whole batch. Other calls give the means of the quantiles at the fixed levels `MIDPOINTS`.

    Parameters
    ----------
    output_layer : keras.layers.Dense
        A linear layer.
    n_quantiles : int
        Number of levels that are drawn, N.
    seed : int or None, default=None
        Of the first weights of the embedding, and of the levels.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl.qfunctions.deep.layers import FewOutputs, ImplicitQuantiles
    >>> layer, features = ImplicitQuantiles(FewOutputs(2), 8), np.ones((5, 64), np.float32)
    >>> layer(features).shape, layer(features, training=True).shape
    (TensorShape([5, 2]), TensorShape([5, 9, 3]))
    """

    output_layer: Any
    n_quantiles: int
    seed: int | None
    seed_generator: Any

    @no_type_check  # Keras reads the names of the arguments, which a type checker hides
    def __init__(self, output_layer: Any, n_quantiles: int, seed: int | None = None) -> None:
        super().__init__()
        self.output_layer = output_layer
        self.n_quantiles = n_quantiles
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Make the weights of the embedding."""
        shape = N_COSINES, input_shape[-1]
        initializer = keras.initializers.GlorotUniform(self.seed)
        self.kernel = self.add_weight(shape, initializer, name="kernel")
        self.bias = self.add_weight(shape[1:], "zeros", name="bias")
        if not self.output_layer.built:
            self.output_layer.build(input_shape)

    def call(self, features: Any, training: bool | None = None) -> Any:
        """Evaluate the layer on a tensor of shape (B, n).

        Parameters
        ----------
        features : tensor of shape (B, n)
            psi(s) of B states.
        training : bool or None
            Whether to draw levels.

        Returns
        -------
        tensor of shape (B, n_outputs) or (B, 1 + N, n_outputs + 1)
            The means; or the means in row 0, the quantiles in the others, and the levels in the
            last column.
        """
        # The output layer is linear, so the mean of its outputs is its output of the mean.
        mean = tf.reduce_mean(self._embed(tf.constant(MIDPOINTS)), axis=0)
        if not training:
            return self.output_layer(features * mean)
        # tau_i ~ U((i - 1) / N, i / N), i = 1, ..., N: together, they cover (0, 1) evenly.
        strata = tf.range(self.n_quantiles, dtype=tf.float32)
        draws = keras.random.uniform((self.n_quantiles,), seed=self.seed_generator)
        levels = (strata + draws) / self.n_quantiles
        embeddings = tf.concat([mean[tf.newaxis], self._embed(levels)], axis=0)
        # Z_tau(s, .) = f(psi(s) * phi(tau))
        products = tf.reshape(features[:, tf.newaxis] * embeddings, (-1, features.shape[1]))
        outputs = self.output_layer(products, training=True)
        outputs = tf.reshape(outputs, (-1, 1 + self.n_quantiles, outputs.shape[1]))
        column = tf.ones_like(outputs[:, :, :1]) * tf.pad(levels, ((1, 0),))[:, tf.newaxis]
        return tf.concat([outputs, column], axis=2)

    def _embed(self, levels: Any) -> Any:
        """The embeddings of N levels, of shape (N, n)."""
        # phi_j(tau) = relu(sum_i cos(pi i tau) w_ij + b_j), i = 0, ..., 63
        cosines = tf.cos(np.pi * levels[:, tf.newaxis] * tf.range(N_COSINES, dtype=tf.float32))
        return tf.nn.relu(cosines @ self.kernel.value + self.bias.value)
