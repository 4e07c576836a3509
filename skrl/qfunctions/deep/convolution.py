"""Convolutions as matrix products, which XLA computes fast. Importing this loads TensorFlow."""

from typing import Any

from skrl.qfunctions.deep.tensorflow import keras, tf


def with_matrix_products(model: Any) -> Any:
    """Replace the convolutions of a model by `MatrixConv2D`.

    Parameters
    ----------
    model : keras.Model
        It is not changed. Models that are neither Sequential nor Functional are returned as they
        are.

    Returns
    -------
    keras.Model
        With the same variables in the same order, but not the same values.

    Examples
    --------
    >>> from skrl.qfunctions.deep.convolution import with_matrix_products
    >>> from skrl.qfunctions.deep.networks import convolutional_network
    >>> model = with_matrix_products(convolutional_network((10, 10, 4), 6))
    >>> type(model.layers[0]).__name__
    'MatrixConv2D'
    """
    if not any(_is_replaced(layer) for layer in model.layers):
        return model
    try:
        return keras.models.clone_model(model, clone_function=_replace)
    except (ValueError, TypeError, NotImplementedError):
        return model


def _is_replaced(layer: Any) -> bool:
    return (
        type(layer) is keras.layers.Conv2D
        and layer.data_format == "channels_last"
        and layer.groups == 1
        and tuple(layer.dilation_rate) == (1, 1)
        and layer.compute_dtype == "float32"
        and None not in layer.input.shape[1:]
    )


def _replace(layer: Any) -> Any:
    return MatrixConv2D.from_config(layer.get_config()) if _is_replaced(layer) else layer


class MatrixConv2D(keras.layers.Conv2D):
    """A `keras.layers.Conv2D` that is computed by one matrix product.

    On the CPU, XLA computes convolutions in loops by naive code, but it has fast matrix products.

    Examples
    --------
    >>> import numpy as np
    >>> from skrl.qfunctions.deep.convolution import MatrixConv2D
    >>> layer = MatrixConv2D(16, 3)
    >>> layer(np.ones((5, 10, 10, 4), np.float32)).shape
    TensorShape([5, 8, 8, 16])
    """

    def call(self, inputs: Any) -> Any:
        """Evaluate the layer on a tensor of shape (B, height, width, channels)."""
        outputs = convolve(inputs, self.kernel.value, tuple(self.strides), self.padding)
        if self.use_bias:
            outputs += self.bias.value
        return self.activation(outputs)


def convolve(images: Any, kernel: Any, strides: tuple[int, int], padding: str) -> Any:
    """Convolve a batch of images by a matrix product.

    Parameters
    ----------
    images : tensor of shape (B, height, width, C)
        All but B must be known.
    kernel : tensor of shape (m, n, C, F)
        F filters, as in `keras.layers.Conv2D`.
    strides : tuple of int
        Vertical and horizontal.
    padding : {"same", "valid"}
        As in `keras.layers.Conv2D`.

    Returns
    -------
    tensor of shape (B, h, w, F)
    """
    m, n, C, F = kernel.shape
    s, t = strides
    (top, h), (left, w) = (
        extent(*lengths, padding)
        for lengths in zip(images.shape[1:3], (m, n), strides, strict=True)
    )
    images = _fit(images, top, (h - 1) * s + m, left, (w - 1) * t + n)
    if (s, t) != (1, 1) and m % s == 0 and n % t == 0:
        # Blocks of s x t pixels become pixels of s t C channels, and the strides become 1.
        images = to_blocks(images, s, t)
        blocks = tf.reshape(kernel, (m // s, s, n // t, t, C, F))
        m, n, C = m // s, n // t, s * t * C
        kernel = tf.reshape(tf.transpose(blocks, (0, 2, 1, 3, 4, 5)), (m, n, C, F))
        s = t = 1
    offsets = [(i, j) for i in range(m) for j in range(n)]
    if F < C and (s, t) == (1, 1):
        # One product for all offsets, then y[p] = sum_o (x W_o)[p + o]: F numbers move per offset.
        matrix = tf.reshape(tf.transpose(kernel, (2, 0, 1, 3)), (C, m * n * F))
        products = tf.reshape(images, (-1, C)) @ matrix
        products = tf.reshape(products, (-1, *images.shape[1:3], m * n, F))
        return tf.add_n([products[:, i : i + h, j : j + w, o] for o, (i, j) in enumerate(offsets)])
    # y[p] = concat_o(x[s p + o]) W: C numbers move per offset.
    shifted = [
        images[:, i : i + (h - 1) * s + 1 : s, j : j + (w - 1) * t + 1 : t] for i, j in offsets
    ]
    patches = tf.reshape(tf.concat(shifted, axis=-1), (-1, m * n * C))
    return tf.reshape(patches @ tf.reshape(kernel, (-1, F)), (-1, h, w, F))


def extent(length: int, kernel: int, stride: int, padding: str) -> tuple[int, int]:
    """How many zeros are put before one axis of an image, and how long the result is."""
    if padding == "valid":
        return 0, (length - kernel) // stride + 1
    n_outputs = -(-length // stride)
    return max((n_outputs - 1) * stride + kernel - length, 0) // 2, n_outputs


def _fit(images: Any, top: int, height: int, left: int, width: int) -> Any:
    """Pad images with zeros, and cut them to this size."""
    bottom = max(height - images.shape[1] - top, 0)
    right = max(width - images.shape[2] - left, 0)
    padded = tf.pad(images, ((0, 0), (top, bottom), (left, right), (0, 0)))
    return padded[:, :height, :width]


def to_blocks(images: Any, s: int, t: int) -> Any:
    """Make blocks of s x t pixels one pixel each: (B, h s, w t, C) becomes (B, h, w, s t C)."""
    _, height, width, C = images.shape
    h, w = height // s, width // t

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def move(images: Any) -> tuple[Any, Any]:
        def gradient(d: Any) -> Any:
            return tf.reshape(_swap(d, (h, w, s, t * C)), (-1, height, width, C))

        return tf.reshape(_swap(images, (h, s, w, t * C)), (-1, h, w, s * t * C)), gradient

    return move(images)


def _swap(x: Any, shape: tuple[int, int, int, int]) -> Any:
    """Reshape to (B, *shape), and swap the second and the third axis of `shape`."""
    a, b, c, n = shape
    if n % 2:
        return tf.transpose(tf.reshape(x, (-1, a, b, c, n)), (0, 1, 3, 2, 4))
    # XLA moves element by element, so two float32 are moved as one int64.
    pairs = tf.bitcast(tf.reshape(x, (-1, a, b, c, n // 2, 2)), tf.int64)
    return tf.bitcast(tf.transpose(pairs, (0, 1, 3, 2, 4)), tf.float32)
