"""Checks of the contracts that every part keeps: run them on your own parts.

Each function takes an instance, and raises an AssertionError that says which contract is broken,
what came and what was expected. They do for the parts of the learning loop what
`sklearn.utils.estimator_checks.check_estimator` does for estimators, and
`gymnasium.utils.env_checker.check_env` for environments.
"""

from skrl.estimator_checks.agent import AGENT_CHECKS, check_agent
from skrl.estimator_checks.buffer import BUFFER_CHECKS, check_buffer
from skrl.estimator_checks.environment import ENVIRONMENT_CHECKS, check_environment
from skrl.estimator_checks.parameters import PARAMETER_CHECKS
from skrl.estimator_checks.policy import POLICY_CHECKS, check_policy
from skrl.estimator_checks.qfunction import QFUNCTION_CHECKS, check_qfunction
from skrl.estimator_checks.runner import RUNNER_CHECKS, check_runner

__all__ = [
    "AGENT_CHECKS",
    "BUFFER_CHECKS",
    "ENVIRONMENT_CHECKS",
    "PARAMETER_CHECKS",
    "POLICY_CHECKS",
    "QFUNCTION_CHECKS",
    "RUNNER_CHECKS",
    "check_agent",
    "check_buffer",
    "check_environment",
    "check_policy",
    "check_qfunction",
    "check_runner",
]
