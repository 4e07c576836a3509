"""RAdam makes the steps that its equations say."""

from math import sqrt

import numpy as np
import pytest

from skrl.qfunctions.deep.optimizers import make_optimizer
from skrl.qfunctions.deep.tensorflow import keras


def by_hand(gradients, alpha, beta_1=0.9, beta_2=0.999, epsilon=1e-8):
    """Algorithm 2 of Liu et al. (2020), for a single number."""
    theta, m, v, thetas = 1.0, 0.0, 0.0, []
    rho_inf = 2 / (1 - beta_2) - 1
    for t, g in enumerate(gradients, start=1):
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g**2
        m_hat = m / (1 - beta_1**t)
        rho = rho_inf - 2 * t * beta_2**t / (1 - beta_2**t)
        if rho > 4:
            r = sqrt((rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho))
            theta -= alpha * r * m_hat / (sqrt(v / (1 - beta_2**t)) + epsilon)
        else:
            theta -= alpha * m_hat
        thetas.append(theta)
    return thetas


def apply(optimizer, gradients):
    variable = keras.Variable(np.array([1.0], np.float32))
    optimizer.build([variable])
    thetas = []
    for gradient in gradients:
        optimizer.apply([np.array([gradient], np.float32)], [variable])
        thetas.append(float(variable.numpy()[0]))
    return thetas


def test_steps_by_hand():
    gradients = [2.0, -1.0, 0.5, 4.0, 1.0, 3.0, -2.0, 1.0]
    thetas = apply(make_optimizer("radam", 0.01), gradients)
    # The first steps are those of the moving average: m_hat is 2, then (0.18 - 0.1) / 0.19.
    assert thetas[0] == pytest.approx(1 - 0.01 * 2)
    assert thetas[1] == pytest.approx(1 - 0.01 * 2 - 0.01 * 0.08 / 0.19)
    assert thetas == pytest.approx(by_hand(gradients, 0.01), rel=1e-4)


@pytest.mark.slow
def test_it_becomes_adam():
    rng = np.random.default_rng(0)
    gradients = rng.normal(1.0, 1.0, 3000)
    steps = [
        np.diff(apply(make_optimizer(name, 0.001), gradients))[-100:] for name in ("radam", "adam")
    ]
    np.testing.assert_allclose(steps[0], steps[1], rtol=0.15, atol=1e-5)


def test_configuration():
    optimizer = make_optimizer("radam", 0.01)
    copy = type(optimizer).from_config(optimizer.get_config())
    assert copy.get_config() == optimizer.get_config()
    assert copy.beta_2 == 0.999
