"""The options of DQN, each against its formula written out in NumPy."""

import numpy as np
import pytest
from gymnasium import spaces
from sklearn.base import clone

from skrl import C51, DQN, IQN, QRDQN
from skrl.qfunctions.deep.learner import Batch
from skrl.qfunctions.deep.tensorflow import tf
from worlds import make_transitions

SPACE = spaces.Box(-np.inf, np.inf, (4,), np.float32)
STATES = np.random.default_rng(2).normal(size=(6, 4)).astype(np.float32)


def outputs_of(weights, states):
    """A dense network with relu, written out."""
    x = states.astype(np.float64)
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = np.maximum(x @ kernel + bias, 0)
    return x @ weights[-2] + weights[-1]


def test_dueling_values_are_the_state_value_and_centred_advantages():
    qfunction = DQN((8,), dueling=True, scale_states=False).build(SPACE, 3, random_state=0)
    outputs = outputs_of(qfunction.weights_, STATES)
    assert outputs.shape == (6, 4)
    value, advantages = outputs[:, :1], outputs[:, 1:]
    expected = value + advantages - advantages.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(qfunction.values(STATES), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(expected.mean(axis=1), value[:, 0], rtol=1e-6)


def test_quantile_values_are_means_of_quantiles():
    qfunction = QRDQN(5, hidden_layer_sizes=(8,), scale_states=False)
    qfunction.build(SPACE, 3, random_state=0)
    quantiles = outputs_of(qfunction.weights_, STATES).reshape(6, 3, 5)
    expected = quantiles.mean(axis=2)
    np.testing.assert_allclose(qfunction.values(STATES), expected, rtol=1e-5, atol=1e-6)


def test_dueling_quantiles_combine():
    qfunction = QRDQN(5, hidden_layer_sizes=(8,), dueling=True, scale_states=False)
    qfunction.build(SPACE, 3, random_state=0)
    outputs = outputs_of(qfunction.weights_, STATES).reshape(6, 4, 5)
    quantiles = outputs[:, :1] + outputs[:, 1:] - outputs[:, 1:].mean(axis=1, keepdims=True)
    expected = quantiles.mean(axis=2)
    np.testing.assert_allclose(qfunction.values(STATES), expected, rtol=1e-5, atol=1e-6)


def test_the_quantile_loss_written_out():
    """Equation 10 of Dabney et al. (2018), term by term."""
    n, kappa = 3, 0.7
    rng = np.random.default_rng(0)
    outputs = rng.normal(size=(4, 2 * n)).astype(np.float32)
    targets = rng.normal(size=(4, n)).astype(np.float32)
    actions = np.array([0, 1, 1, 0])
    qfunction = QRDQN(n, huber_delta=kappa).build(SPACE, 2, random_state=0)
    losses, td_errors = qfunction.losses(tf.constant(outputs), tf.constant(actions), targets)
    for b in range(4):
        theta = outputs[b].reshape(2, n)[actions[b]]
        expected = 0.0
        for i in range(n):
            level = (i + 0.5) / n
            for y in targets[b]:
                u = y - theta[i]
                size = 0.5 * u**2 if abs(u) <= kappa else kappa * (abs(u) - 0.5 * kappa)
                expected += abs(level - (u < 0)) * size / kappa / n
        assert losses[b].numpy() == pytest.approx(expected, rel=1e-4)
        assert td_errors[b].numpy() == pytest.approx(targets[b].mean() - theta.mean(), rel=1e-4)


def test_quantiles_learn_the_distribution_of_a_coin():
    """Rewards of 0 or 1, thrown anew each time: quantiles below and above the middle part."""
    rng = np.random.default_rng(0)
    qfunction = QRDQN(4, hidden_layer_sizes=(16,), learning_rate=0.01, huber_delta=0.05)
    qfunction.build(SPACE, 1, random_state=0)
    for _ in range(4):
        batches = make_transitions(rng, (200, 32), n_actions=1)
        batches.rewards[:] = rng.integers(2, size=batches.rewards.shape)
        batches.discounts[:] = 0
        qfunction.update(batches)
    quantiles = np.sort(outputs_of(qfunction.weights_, np.zeros((1, 4)))[0])
    assert np.abs(quantiles - [0, 0, 1, 1]).max() < 0.25
    assert qfunction.values(np.zeros((1, 4), np.float32))[0, 0] == pytest.approx(0.5, abs=0.1)


def test_the_projection_of_c51_worked_out_by_hand():
    """Atoms -1, 0, 1: a return of 0.25 counts three quarters as 0 and one quarter as 1."""
    qfunction = C51(3, -1.0, 1.0).build(SPACE, 1, random_state=0)
    p = np.array([0.2, 0.3, 0.5], np.float32)
    outputs = tf.constant(np.log(p)[None])
    for reward, discount, expected in (
        (0.25, 0.0, [0, 0.75, 0.25]),
        (5.0, 1.0, [0, 0, 1]),  # beyond the largest atom
        (0.0, 1.0, p),
        (0.0, 0.5, [0.1, 0.65, 0.25]),  # returns -0.5, 0, 0.5
    ):
        batch = Batch(*(tf.constant([x], tf.float32) for x in (0, reward, discount, 1)))
        found = qfunction.targets(batch, outputs, lambda: outputs)
        np.testing.assert_allclose(found, [expected], atol=1e-6)
    np.testing.assert_allclose(qfunction.values_of(outputs), [[0.3]], atol=1e-6)


def test_munchausen_targets_written_out():
    """Equation 2 of Vieillard et al. (2020), with numbers for which the clipping matters."""
    tau, alpha, gamma = 0.03, 0.9, 0.99
    q, next_q = np.array([[0.10, 0.12], [3.0, 0.0]]), np.array([[0.05, 0.0], [0.0, 0.02]])
    actions, rewards = np.array([1, 1]), np.array([0.5, -1.0])
    pi, next_pi = (
        np.exp(x / tau) / np.exp(x / tau).sum(axis=1, keepdims=True) for x in (q, next_q)
    )
    bonus = np.maximum(tau * np.log(pi[[0, 1], actions]), -1.0)
    assert bonus[1] == -1.0  # the log-probability is -3
    soft = (next_pi * (next_q - tau * np.log(next_pi))).sum(axis=1)
    expected = rewards + alpha * bonus + gamma * soft

    qfunction = DQN(munchausen=alpha).build(SPACE, 2, random_state=0)
    q, next_q, rewards = (tf.constant(x, tf.float32) for x in (q, next_q, rewards))
    batch = Batch(tf.constant(actions), rewards, tf.fill([2], gamma), tf.ones(2))
    batch = qfunction.prepare(batch, next_q, lambda: q)
    found = qfunction.targets(batch, next_q, lambda: next_q)
    np.testing.assert_allclose(found, expected, rtol=1e-5)

    # An action that is not allowed next has probability 0.
    masks = tf.constant([[False, True], [True, True]])
    batch = batch._replace(rewards=rewards, next_probabilities=None, next_action_masks=masks)
    batch = qfunction.prepare(batch, next_q, lambda: q)
    np.testing.assert_allclose(batch.next_probabilities[0], [0, 1])
    found = qfunction.targets(batch, next_q, lambda: next_q)[0]
    assert found.numpy() == pytest.approx(0.5 + alpha * bonus[0] + gamma * 0.0, rel=1e-5)


@pytest.mark.parametrize("variant", [DQN((16,)), QRDQN(8), IQN(), C51(31, -3.0, 3.0)])
def test_munchausen_widens_the_gap_between_the_actions(variant):
    """In a bandit, the gap becomes 1 / (1 - alpha) times that of the rewards."""
    batches = make_transitions(np.random.default_rng(0), (400, 32))
    batches.discounts[:] = 0
    batches.rewards[:] = np.where(batches.actions == 1, 0.05, 0.0)
    gaps = []
    for alpha in (0.0, 0.5):
        qfunction = clone(variant).set_params(munchausen=alpha, learning_rate=0.01, tau=0.1)
        qfunction.build(SPACE, 2, random_state=0)
        for _ in range(3):
            qfunction.update(batches)
        gaps.append(np.diff(qfunction.values(STATES)).mean())
    assert gaps[0] == pytest.approx(0.05, abs=0.01)
    assert gaps[1] == pytest.approx(0.1, abs=0.015)


@pytest.mark.parametrize(
    "variant",
    [
        DQN(dueling=True),
        QRDQN(8),
        QRDQN(8, dueling=True),
        IQN(dueling=True),
        C51(31, -3.0, 3.0),
        C51(31, -3.0, 3.0, dueling=True),
    ],
)
def test_variants_learn_the_mean_reward_of_each_action(variant):
    rng = np.random.default_rng(0)
    qfunction = variant.set_params(learning_rate=0.01).build(SPACE, 2, random_state=0)
    for _ in range(3):
        batches = make_transitions(rng, (200, 32))
        batches.discounts[:] = 0
        batches.rewards[:] = np.where(batches.actions == 1, 2.0, -1.0)
        errors = qfunction.update(batches)
    assert np.abs(errors[-20:]).mean() < 0.1
    np.testing.assert_allclose(qfunction.values(STATES).mean(axis=0), [-1, 2], atol=0.1)


@pytest.mark.parametrize("target_update_interval", [1, 3])
def test_soft_updates_follow_slowly(target_update_interval):
    """theta' <- (1 - tau) theta' + tau theta, against the same updates made one by one."""
    batches = make_transitions(np.random.default_rng(0), (6, 16))
    qfunction = DQN((8,), tau=0.25, target_update_interval=target_update_interval)
    qfunction.build(SPACE, 2, random_state=0)
    target = [w.copy() for w in qfunction.weights_]
    for k in range(6):
        qfunction.update(batches[k])
        if (k + 1) % target_update_interval == 0:
            pairs = zip(target, qfunction.weights_, strict=True)
            target = [0.75 * old + 0.25 * new for old, new in pairs]
        for found, expected in zip(qfunction.state()["target_weights"], target, strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("target_update_interval", [1, 4])
def test_updates_with_many_target_updates_in_one_call_equal_those_one_by_one(
    target_update_interval,
):
    batches = make_transitions(np.random.default_rng(0), (6, 16))
    variant = DQN((8,), tau=0.25, target_update_interval=target_update_interval, scale_states=False)
    one_by_one = clone(variant).build(SPACE, 2, random_state=0)
    for k in range(6):
        one_by_one.update(batches[k])
    together = clone(variant).build(SPACE, 2, random_state=0)
    together.update(batches)
    for one, other in zip(one_by_one.weights_, together.weights_, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


def test_soft_updates_of_a_resting_target_network():
    batches = make_transitions(np.random.default_rng(0), (16, 8))
    qfunction = DQN((8,), tau=0.5, target_update_interval=16).build(SPACE, 2, random_state=0)
    first = [w.copy() for w in qfunction.weights_]
    qfunction.update(batches)
    found = qfunction.state()["target_weights"]
    for target, old, new in zip(found, first, qfunction.weights_, strict=True):
        np.testing.assert_allclose(target, 0.5 * old + 0.5 * new, rtol=1e-5, atol=1e-6)


def test_rows_of_weight_0_are_not_learned_from():
    rng = np.random.default_rng(0)
    batch = make_transitions(rng, (16,))
    batch.weights = np.repeat([2.0, 0.0], 8)
    changed = make_transitions(rng, (16,))
    for name in ("states", "actions", "rewards", "next_states", "discounts"):
        getattr(changed, name)[:8] = getattr(batch, name)[:8]
    changed.weights = batch.weights
    half = batch[:8]
    half.weights = None
    results = []
    for transitions in (batch, changed, half):
        qfunction = DQN((8,), optimizer="sgd", scale_states=False).build(SPACE, 2, random_state=0)
        qfunction.update(transitions)
        results.append(qfunction.weights_)
    # Mean of 16 losses, of which 8 count twice and 8 not at all = mean of these 8.
    for a, b, c in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
        np.testing.assert_allclose(a, c, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("qfunction", "message"),
    [
        (DQN(tau=0), r"tau must be in \(0, 1\], got 0"),
        (DQN(tau=1.5), r"tau must be in \(0, 1\], got 1.5"),
        (DQN(munchausen=2), r"munchausen must be in \[0, 1\], got 2"),
        (C51(1), "n_atoms must be at least 2, got 1"),
        (C51(v_min=1, v_max=1), "v_min must be less than v_max, got v_min=1 and v_max=1"),
        (QRDQN(0), "n_quantiles must be at least 1, got 0"),
    ],
)
def test_bad_parameters_are_refused(qfunction, message):
    with pytest.raises(ValueError, match=message):
        qfunction.build(SPACE, 2, random_state=0)
