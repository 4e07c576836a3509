"""Checks of the contracts that every part keeps: run them on parts of your own.

Each function takes an instance, and raises an AssertionError that says which contract is broken,
what came and what was expected. What they are for scikit-learn's estimators,
`sklearn.utils.estimator_checks.check_estimator`, and for Gymnasium's environments,
`gymnasium.utils.env_checker.check_env`, these are for the parts of the learning loop.
"""

from skrl.estimator_checks.agent import AGENT_CHECKS, check_agent
from skrl.estimator_checks.environment import ENVIRONMENT_CHECKS, check_environment
from skrl.estimator_checks.parameters import PARAMETER_CHECKS
from skrl.estimator_checks.policy import POLICY_CHECKS, check_policy
from skrl.estimator_checks.qfunction import QFUNCTION_CHECKS, check_qfunction
from skrl.estimator_checks.runner import RUNNER_CHECKS, check_runner

__all__ = [
    "AGENT_CHECKS",
    "ENVIRONMENT_CHECKS",
    "PARAMETER_CHECKS",
    "POLICY_CHECKS",
    "QFUNCTION_CHECKS",
    "RUNNER_CHECKS",
    "check_agent",
    "check_environment",
    "check_policy",
    "check_qfunction",
    "check_runner",
]
