"""Parameters and environments are recognised in another process."""

import subprocess
import sys
from functools import partial

import gymnasium
import pytest

from skrl import DQN, EpsilonGreedy, ExperienceReplay, GymEnvironment, QLearningAgent, make_envs
from skrl.checkpoints.identity import describe_parameters, digest, recipe


def agent(**parameters):
    return QLearningAgent(DQN((8,)), runner=ExperienceReplay(batch_size=8), **parameters)


ENVS = [
    "CartPole-v1",
    GymEnvironment("CartPole-v1", n_envs=2),
    partial(gymnasium.make, "CartPole-v1", max_episode_steps=7),
    make_envs("CartPole-v1", n=2),
]


def test_equal_recipes_have_equal_digests():
    values = [
        *ENVS,
        agent(),
        agent(policy=EpsilonGreedy()),
        agent(policy=EpsilonGreedy(0.3)),
        agent(discount_factor=0.9),
        ["CartPole-v1"],
        gymnasium.spec("CartPole-v1"),
    ]
    digests = [digest(recipe(value)) for value in values]
    assert len(set(digests)) == len(values)
    assert digest(recipe(agent(policy=EpsilonGreedy()))) == digests[len(ENVS) + 1]


def test_digests_are_the_same_in_another_process():
    code = (
        "from skrl import *; from skrl.checkpoints.identity import digest, recipe\n"
        "agent = QLearningAgent(DQN((8,)), runner=ExperienceReplay(batch_size=8))\n"
        "print(digest(recipe([agent, 'CartPole-v1'])))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest(recipe([agent(), "CartPole-v1"]))


def test_what_has_no_name_is_refused():
    for value in (lambda: 0, [partial(lambda: 0)], {"env": lambda: 0}):
        with pytest.raises(ValueError, match="it contains a lambda or a local function or class"):
            digest(recipe(value))


def test_parameters_are_described_without_addresses():
    described = describe_parameters(agent(policy=EpsilonGreedy(0.3)))
    assert described["policy"] == "EpsilonGreedy"
    assert described["policy__epsilon"] == "0.3"
    assert described["qfunction__hidden_layer_sizes"] == "(8,)"
    function = describe_parameters(GymEnvironment(partial(agent, verbose=1)))["env"]
    assert "agent" in function
    assert "0x" not in function
