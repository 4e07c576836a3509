"""Exported networks, run by other programs, choose what `predict` chooses."""

from functools import partial

import gymnasium
import numpy as np
import pytest

from skrl import C51, DQN, IQN, QRDQN, ExperienceReplay, GymEnvironment, QLearningAgent, image_env
from skrl.qfunctions.deep.images import minatar_network

N_STATES = 10_000


def onnx(path, states):
    import onnxruntime

    session = onnxruntime.InferenceSession(path)
    return session.run(None, {session.get_inputs()[0].name: states})[0]


def litert(path, states):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    (into,), (out,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(into["index"], states.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(into["index"], states)
    interpreter.invoke()
    return interpreter.get_tensor(out["index"])


def saved_model(path, states):
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    return loaded.serve(states).numpy()


FORMATS = {"model.onnx": onnx, "model.tflite": litert, "model": saved_model}


def fitted(qfunction, env):
    runner = ExperienceReplay(batch_size=32, train_freq=64, gradient_steps=16, learning_starts=64)
    agent = QLearningAgent(qfunction, runner=runner, n_steps=512, n_evaluations=0, random_state=0)
    return agent.fit(env)


POLE = partial(image_env, "CartPole-v1", size=(20, 30), n_stack=2)


@pytest.mark.parametrize(
    ("qfunction", "env"),
    [
        pytest.param(DQN((32,), layer_norm=True), "CartPole-v1", id="dqn"),
        *(
            pytest.param(*case, id=name, marks=pytest.mark.slow)
            for name, case in {
                "quantiles": (QRDQN(8, hidden_layer_sizes=(32,), dueling=True), "CartPole-v1"),
                "quantiles-images": (QRDQN(8, network=minatar_network), POLE()),
                "dqn-images": (DQN(network=minatar_network), POLE()),
                "implicit-quantiles": (IQN(hidden_layer_sizes=(32,)), "CartPole-v1"),
                "noisy": (DQN((32, 32), noisy=True), "CartPole-v1"),
                "c51-one-hot": (C51(hidden_layer_sizes=(16,)), "FrozenLake-v1"),
            }.items()
        ),
    ],
)
def test_exported_networks_choose_the_actions_of_predict(qfunction, env, tmp_path):
    agent = fitted(qfunction, env)
    space = GymEnvironment(env).state_space
    rng = np.random.default_rng(0)
    if isinstance(space, gymnasium.spaces.Discrete):
        states = rng.integers(space.n, size=N_STATES)
    elif space.dtype == np.uint8:
        states = rng.integers(256, size=(N_STATES, *space.shape), dtype=np.uint8)
    else:
        states = rng.normal(size=(N_STATES, *space.shape)).astype(np.float32)
    values, actions = agent.decision_function(states), agent.predict(states)
    for name, evaluate in FORMATS.items():
        agent.export(tmp_path / name)
        found = evaluate(tmp_path / name, states)
        np.testing.assert_allclose(found, values, rtol=1e-4, atol=1e-4)
        assert np.array_equal(agent.classes_[found.argmax(axis=1)], actions)


def test_what_cannot_be_exported_is_refused(tmp_path):
    agent = fitted(DQN((8,)), "CartPole-v1")
    with pytest.raises(ValueError, match=r"got 'model\.h5'.*\.onnx"):
        agent.export(tmp_path / "model.h5")
    with pytest.raises(ValueError, match="There is no folder"):
        agent.export(tmp_path / "missing" / "model.onnx")
    table = QLearningAgent(n_steps=300, n_evaluations=0).fit("FrozenLake-v1")
    with pytest.raises(TypeError, match="Only networks can be exported"):
        table.export(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
