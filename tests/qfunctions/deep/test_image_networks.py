import numpy as np
import pytest
from gymnasium import spaces

from skrl import DQN
from skrl.qfunctions.deep.images import impala_network, minatar_network, nature_network
from skrl.qfunctions.deep.numpy_convolution import NumpyConvolutionalNetwork


def n_parameters(builder, *arguments):
    return builder(*arguments).count_params()


def test_the_numbers_of_parameters_are_those_of_the_papers():
    # Kernels and biases, layer by layer
    nature = [8 * 8 * 4 * 32, 4 * 4 * 32 * 64, 3 * 3 * 64 * 64, 7 * 7 * 64 * 512, 512 * 6]
    assert n_parameters(nature_network, (84, 84, 4), 6) == sum(nature) + 32 + 64 + 64 + 512 + 6
    minatar = [3 * 3 * 4 * 16, 8 * 8 * 16 * 128, 128 * 6]
    assert n_parameters(minatar_network, (10, 10, 4), 6) == sum(minatar) + 16 + 128 + 6
    sections = [(4, 16), (16, 32), (32, 32)]
    impala = sum(9 * n * m + m + 4 * (9 * m * m + m) for n, m in sections)
    impala += 11 * 11 * 32 * 256 + 256 + 256 * 6 + 6
    assert n_parameters(impala_network, (84, 84, 4), 6) == impala


@pytest.mark.parametrize("builder", [nature_network, minatar_network, impala_network])
@pytest.mark.parametrize("shape", [(36, 37), (36, 37, 2), (2, 36, 37)])
def test_the_axis_of_the_channels_is_found(builder, shape):
    space = spaces.Box(0, 255, shape, np.uint8)
    qfunction = DQN(network=builder).build(space, 3, random_state=0)
    is_numpy = isinstance(qfunction._numpy_network, NumpyConvolutionalNetwork)
    assert is_numpy == (builder is not impala_network)
    assert qfunction.values(np.zeros((2, *shape), np.uint8)).shape == (2, 3)


def test_images_that_are_too_small():
    with pytest.raises(ValueError, match="35 x 40 pixels are too small for this network. Use"):
        nature_network((35, 40, 4), 6)


def test_seeds_decide_on_the_first_weights():
    a, b, c = (minatar_network((10, 10, 4), 6, seed=seed).get_weights() for seed in (0, 0, 1))
    np.testing.assert_array_equal(a[0], b[0])
    assert not np.array_equal(a[0], c[0])
