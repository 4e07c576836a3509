"""Noisy networks: the noise as Fortunato et al. (2018) define it, and when it is there."""

import pickle
import random

import gymnasium
import numpy as np
import pytest
from sklearn.base import clone

from skrl import C51, DQN, IQN, QRDQN, Greedy, GymEnvironment, SimpleRunner
from skrl.qfunctions.deep.layers import NoisyDense
from skrl.qfunctions.deep.tensorflow import keras
from worlds import make_transitions

CARTPOLE = gymnasium.make("CartPole-v1").observation_space
IMAGE = gymnasium.spaces.Box(0.0, 1.0, (6, 6, 2), np.float32)
STATES = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)
# Only the output layer is noisy. (Networks of equal architecture share what is compiled.)
ONE_LAYER = DQN((16,), noisy=True, scale_states=False)


def built(qfunction, space=CARTPOLE, n_actions=2):
    return clone(qfunction).build(space, n_actions, random_state=0)


def randomize(qfunction):
    """Let no weight, size of noise or scale be equal to another one."""
    rng, state = np.random.default_rng(3), qfunction.state()
    state["weights"] = [
        w + 0.1 * rng.normal(size=w.shape).astype(np.float32) for w in state["weights"]
    ]
    qfunction.set_state(state)


def f(e):
    return np.sign(e) * np.sqrt(np.abs(e))


def hidden_units(qfunction, states):
    kernel, bias = qfunction.weights_[:2]
    return np.maximum(states @ kernel + bias, 0)


def variances(qfunction, states):
    """Of the values of a network whose output layer is noisy, of shape (m, n_actions)."""
    sizes, bias_sizes = qfunction.weights_[4:]
    x = hidden_units(qfunction, states)
    # E f(e)^2 = E |e| = sqrt(2 / pi), so f(e_i) f(e_j) has the variance 2 / pi.
    return 2 / np.pi * x**2 @ sizes**2 + np.sqrt(2 / np.pi) * bias_sizes**2


# ---- the layer ---------------------------------------------------------------------------------


def test_first_weights_are_those_of_a_dense_layer_and_sigma_is_that_of_the_paper():
    plain, noisy = (
        layer(100, kernel_initializer=keras.initializers.GlorotUniform(1))
        for layer in (keras.layers.Dense, NoisyDense)
    )
    x = np.zeros((1, 64), np.float32)
    plain(x), noisy(x)
    kernel, bias, *sizes = noisy.get_weights()
    for found, expected in zip((kernel, bias), plain.get_weights(), strict=True):
        np.testing.assert_array_equal(found, expected)
    for size in sizes:  # section 3.2: sigma_0 / sqrt(p)
        np.testing.assert_allclose(size, 0.5 / 8, rtol=1e-6)


def test_noise_is_the_product_of_factors_of_inputs_and_outputs():
    layer = NoisyDense(300, kernel_initializer=keras.initializers.GlorotUniform(1))
    zeros, ones = np.zeros((1, 200), np.float32), np.eye(200, dtype=np.float32)
    x = np.concatenate([zeros, ones])
    noise = (layer(x, training=True) - layer(x)).numpy() / (0.5 / np.sqrt(200))
    f_out = noise[0]  # of the bias
    f_in = (noise[1:] - f_out).mean(axis=1) / f_out.mean()
    np.testing.assert_allclose(noise[1:], np.outer(f_in, f_out) + f_out, atol=1e-3)
    for factors in (f_in, f_out):
        e = np.sign(factors) * factors**2  # f(e) = sgn(e) sqrt(|e|)
        assert abs(e.mean()) < 4 / np.sqrt(len(e))
        assert e.var() == pytest.approx(1, abs=4 * np.sqrt(2 / len(e)))
    assert not np.allclose(noise, (layer(x, training=True) - layer(x)).numpy())


@pytest.mark.parametrize("units", [2, 20])
def test_a_layer_without_bias_and_with_an_activation(units):
    layer = NoisyDense(units, "relu", use_bias=False)
    outputs = layer(STATES).numpy()
    kernel, sizes = layer.get_weights()
    np.testing.assert_allclose(outputs, np.maximum(STATES @ kernel, 0), atol=1e-5)
    assert sizes.shape == kernel.shape
    assert (layer(STATES, training=True).numpy() != outputs).any()


# ---- values ------------------------------------------------------------------------------------


def test_values_are_those_of_a_plain_network_with_the_means():
    noisy, plain = built(DQN((16, 8), noisy=True)), built(DQN((16, 8)))
    randomize(noisy)
    state, weights = plain.state(), noisy.weights_
    state["weights"] = [weights[i] for i in (0, 1, 2, 3, 6, 7)]  # the others are sizes
    plain.set_state(state)
    np.testing.assert_array_equal(noisy.values(STATES), plain.values(STATES))


@pytest.mark.parametrize(
    "variant",
    [
        DQN((16, 8), noisy=True, dueling=True),
        DQN((16, 8), noisy=True, layer_norm=True),
        QRDQN(3, hidden_layer_sizes=(16,), noisy=True),
    ],
    ids=["dueling", "norm", "quantiles"],
)
def test_numpy_and_keras_agree(variant):
    qfunction = built(variant)
    randomize(qfunction)
    assert qfunction._numpy_network is not None
    expected = qfunction._learner().values(qfunction._state, STATES)
    np.testing.assert_allclose(qfunction.values(STATES), expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("layer_norm", [False, True])
@pytest.mark.parametrize("dueling", [False, True])
def test_noise_in_numpy_written_out(dueling, layer_norm):
    """Every state has its own network, whose weights have its own noise."""
    variant = DQN((16, 8), noisy=True, dueling=dueling, layer_norm=layer_norm, scale_states=False)
    qfunction = built(variant)
    randomize(qfunction)
    found = qfunction.for_exploration(np.random.default_rng(5)).values(STATES)

    rng, x = np.random.default_rng(5), STATES
    weights = iter(qfunction.weights_)
    for i, n_out in enumerate((16, 8, 2 + dueling)):
        w, b = next(weights), next(weights)
        if i > 0:
            sizes, bias_sizes = next(weights), next(weights)
            e = rng.standard_normal((6, len(w) + 1 + n_out), np.float32)
            f_in, f_out = f(e[:, : len(w)]), f(e[:, len(w) + 1 :])
            w = w + sizes * f_in[:, :, None] * f_out[:, None, :]
            b = b + bias_sizes * f_out
        x = np.einsum("mi,mij->mj", x, np.broadcast_to(w, (6, *w.shape[-2:]))) + b
        if i < 2 and layer_norm:
            gamma, beta = next(weights), next(weights)
            centred = x - x.mean(axis=1, keepdims=True)
            x = gamma * centred / np.sqrt(x.var(axis=1, keepdims=True) + 1e-6) + beta
        x = np.maximum(x, 0) if i < 2 else x
    if dueling:
        x = x[:, :1] + x[:, 1:] - x[:, 1:].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found, x, rtol=1e-3, atol=1e-4)


def test_numpy_and_keras_draw_noise_of_the_same_size():
    qfunction = built(ONE_LAYER)
    randomize(qfunction)
    rng, state = np.random.default_rng(0), STATES[:1]
    expected = qfunction.values(state).copy()
    acting = qfunction.for_exploration(rng)
    in_numpy = acting.values(np.repeat(state, 20_000, axis=0))
    in_keras = np.concatenate(
        [qfunction._learner().values(qfunction._state, state, rng) for _ in range(1000)]
    )
    for values, tolerance in ((in_numpy, 0.04), (in_keras, 0.2)):
        error = np.sqrt(variances(qfunction, state) / len(values))
        assert (np.abs(values.mean(axis=0) - expected) < 4 * error).all()
        ratios = values.var(axis=0) / variances(qfunction, state)
        np.testing.assert_allclose(ratios, 1, atol=tolerance)


# ---- acting ------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", [DQN((8,)), IQN(hidden_layer_sizes=(8,))])
def test_a_network_without_noise_is_acted_on_as_it_is(variant):
    qfunction = built(variant)
    assert qfunction.for_exploration(np.random.default_rng(0)) is qfunction


@pytest.mark.parametrize(
    "variant",
    [DQN((8,), noisy=True), C51(5, -1, 1, hidden_layer_sizes=(8,), noisy=True)],
    ids=["numpy", "keras"],
)
def test_the_noise_of_acting_comes_from_the_generator_of_the_run(variant):
    qfunction = built(variant)
    one, same, other = (qfunction.for_exploration(np.random.default_rng(i)) for i in (0, 0, 1))
    first = one.values(STATES).copy()
    np.testing.assert_array_equal(same.values(STATES), first)
    assert (other.values(STATES) != first).all()
    assert (one.values(STATES) != first).all()  # new noise at every look
    np.testing.assert_array_equal(qfunction.values(STATES).copy(), qfunction.values(STATES))
    np.testing.assert_array_equal(one.encode(STATES), qfunction.encode(STATES))
    with pytest.raises(TypeError, match="may look at action values, but not change"):
        one.update(make_transitions(np.random.default_rng(0), (4,)))


def test_greedy_explores_with_noise_and_not_without():
    states = np.repeat(STATES[:1], 200, axis=0)
    for noisy in (False, True):
        acting = built(DQN((8,), noisy=noisy)).for_exploration(np.random.default_rng(0))
        decision = Greedy().decide(states, acting, 0.5, np.random.default_rng(1))
        assert len(np.unique(decision.actions)) == 1 + noisy


class Watching(SimpleRunner):
    """Notes which actions were said to be greedy, and which are, instead of learning."""

    def learn(self, run, transitions):
        values, rows = run.qfunction.values(transitions.states), np.arange(len(transitions))
        are_best = values[rows, transitions.actions] == values.max(axis=1)
        self.notes = [
            *getattr(self, "notes", []),
            *zip(transitions.is_greedy, are_best, strict=True),
        ]


def test_actions_are_greedy_by_the_values_without_noise():
    environment, runner = GymEnvironment("CartPole-v1", n_envs=3), Watching()
    qfunction = built(DQN((8,), noisy=True))
    runner.run(environment, qfunction, Greedy(), n_steps=300, rng=0)
    said, true = np.transpose(runner.notes)
    np.testing.assert_array_equal(said, true)
    assert 0.1 < true.mean() < 0.99


def test_a_view_follows_updates():
    qfunction = built(DQN((8,), noisy=True))
    acting = qfunction.for_exploration(np.random.default_rng(0))
    state = qfunction.state()
    state["weights"][-4:] = [np.zeros_like(w) for w in state["weights"][-4:]]
    qfunction.set_state(state)
    np.testing.assert_array_equal(acting.values(STATES), 0)


# ---- learning ----------------------------------------------------------------------------------


def test_every_update_draws_new_noise_for_the_online_and_the_target_network():
    qfunction = built(clone(ONE_LAYER).set_params(learning_rate=1e-12), n_actions=1)
    batch = make_transitions(np.random.default_rng(0), (6,), n_actions=1)
    batch.discounts[:] = [0, 0, 0, 1, 1, 1]
    errors = qfunction.update(batch[np.tile(np.arange(6), (2000, 1))])
    values, next_values = (
        qfunction.values(states)[:, 0].copy() for states in (batch.states, batch.next_states)
    )
    expected = batch.rewards + batch.discounts * next_values - values
    # The target network has the same weights, and independent noise: the variances add up.
    variance = variances(qfunction, batch.states)[:, 0]
    variance += batch.discounts * variances(qfunction, batch.next_states)[:, 0]
    assert (np.abs(errors.mean(axis=0) - expected) < 4 * np.sqrt(variance / len(errors))).all()
    np.testing.assert_allclose(errors.var(axis=0) / variance, 1, atol=0.2)
    correlation = np.corrcoef(errors[1:, 0], errors[:-1, 0])[0, 1]
    assert abs(correlation) < 4 / np.sqrt(len(errors))


def test_the_sizes_of_the_noise_are_learned():
    """Where the noise only disturbs, it becomes smaller."""
    qfunction = built(clone(ONE_LAYER).set_params(learning_rate=0.01), n_actions=1)
    before = qfunction.weights_[4:]
    batches = make_transitions(np.random.default_rng(0), (1000, 6), n_actions=1)
    batches.rewards[:], batches.discounts[:] = 1.0, 1e-9
    qfunction.update(batches)
    for old, new in zip(before, qfunction.weights_[4:], strict=True):
        assert np.abs(new).mean() < 0.7 * np.abs(old).mean()


@pytest.mark.parametrize(
    ("variant", "space"),
    [
        (ONE_LAYER, CARTPOLE),
        pytest.param(
            IQN(4, hidden_layer_sizes=(8,), noisy=True, target_update_interval=16),
            CARTPOLE,
            marks=pytest.mark.slow,
        ),
        pytest.param(
            C51(5, -1, 1, hidden_layer_sizes=(8,), noisy=True), CARTPOLE, marks=pytest.mark.slow
        ),
        pytest.param(IQN(4, noisy=True), IMAGE, marks=pytest.mark.slow),
    ],
    ids=["dqn", "iqn", "c51", "image"],
)
def test_learning_goes_on_from_a_state_bit_for_bit(variant, space):
    batches = make_transitions(np.random.default_rng(0), (8, 6), space.shape, n_actions=1)
    qfunction = built(variant, space, n_actions=1)
    qfunction.update(batches)
    state, copied = qfunction.state(), pickle.loads(pickle.dumps(qfunction))
    other = clone(variant).build(space, 1, random_state=1)
    other.set_state(state)
    expected = [qfunction.update(batches), *qfunction.weights_]
    for continued in (copied, other):
        found = [continued.update(batches), *continued.weights_]
        for a, b in zip(expected, found, strict=True):
            np.testing.assert_array_equal(a, b)
    # From other seeds, it goes on differently.
    state["other"] = [x + 1 if x.dtype.kind != "f" else x for x in state["other"]]
    other.set_state(state)
    assert not np.array_equal(other.update(batches), expected[0])


def test_updates_in_one_call_equal_those_one_by_one():
    """They draw the same noise."""
    batches = make_transitions(np.random.default_rng(0), (6, 6), n_actions=1)
    together, singly = built(ONE_LAYER, n_actions=1), built(ONE_LAYER, n_actions=1)
    errors = np.array([singly.update(batches[k]) for k in range(6)])
    np.testing.assert_allclose(together.update(batches), errors, rtol=1e-4, atol=1e-5)


# ---- networks of one's own ---------------------------------------------------------------------


def with_noise(state_shape, n_outputs):
    layers = [keras.layers.Input(state_shape), keras.layers.Dense(8, "tanh"), NoisyDense(n_outputs)]
    return keras.Sequential(layers)


def without_noise(state_shape, n_outputs):
    return keras.Sequential([keras.layers.Input(state_shape), keras.layers.Dense(n_outputs)])


def test_layers_without_seeds_get_them_from_random_state():
    weights = []
    for seed in (0, 0, 1):
        random.seed(len(weights))
        qfunction = DQN(network=with_noise, noisy=True).build(CARTPOLE, 2, random_state=seed)
        seeds = [x.tolist() for x in qfunction.state()["other"]]
        weights.append([w.tolist() for w in qfunction.weights_] + seeds)
    assert weights[0] == weights[1]
    assert all(a != b for a, b in zip(weights[0][::2], weights[2][::2], strict=True) if np.ptp(a))


def test_a_network_of_which_no_layer_draws_noise_is_refused():
    with pytest.raises(ValueError, match="noisy=True, but .* builds has no layer that draws noise"):
        DQN(network=without_noise, noisy=True).build(CARTPOLE, 2, random_state=0)


def test_a_noisy_network_without_hidden_layers():
    """The scale of the states cannot be folded into a noisy layer: Keras evaluates it."""
    qfunction = built(DQN((), noisy=True))
    assert qfunction._numpy_network is None
    kernel, bias = qfunction.weights_[:2]
    np.testing.assert_allclose(qfunction.values(STATES), STATES @ kernel + bias, atol=1e-5)
    acting = qfunction.for_exploration(np.random.default_rng(0))
    assert (acting.values(STATES) != qfunction.values(STATES)).all()
