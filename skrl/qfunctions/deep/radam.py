"""An optimizer that Keras does not have. Importing this module loads TensorFlow."""

from typing import Any

from skrl.qfunctions.deep.tensorflow import keras, tf


class RAdam(keras.optimizers.Optimizer):
    """Rectified Adam: Adam whose first steps are careful.

    Adam divides each step by an estimate of the gradient's size. After a few updates that
    estimate rests on a few gradients and varies a lot, so the first steps may be far too large.
    RAdam leaves the division out at first, and then multiplies the steps by a factor that grows
    to 1 as the variance of the estimate shrinks (Liu et al., 2020, "On the variance of the
    adaptive learning rate and beyond", algorithm 2).

    Parameters
    ----------
    learning_rate : float or keras.optimizers.schedules.LearningRateSchedule
        Step size alpha, or what it is at each update.
    beta_1, beta_2 : float in [0, 1)
        Decay of the moving averages of the gradients and of their squares.
    epsilon : float
        Added to the denominator.
    **kwargs
        As for every Keras optimizer, such as ``global_clipnorm=10.0``.

    Examples
    --------
    >>> from functools import partial
    >>> from skrl import DQN
    >>> from skrl.qfunctions.deep.radam import RAdam
    >>> qfunction = DQN(optimizer="radam")
    >>> qfunction = DQN(optimizer=partial(RAdam, global_clipnorm=10.0))
    """

    def __init__(
        self,
        learning_rate: Any = 1e-3,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        name: str = "radam",
        **kwargs: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, name=name, **kwargs)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: list[Any]) -> None:
        """Make the moving averages of every variable."""
        if self.built:
            return
        super().build(variables)
        self.indices = {variable.value.ref(): i for i, variable in enumerate(variables)}
        self._m, self._v = self.add_optimizer_variables(variables, ["momentum", "velocity"])

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Make one step for one variable."""
        i = self.indices[variable.ref()]  # TensorFlow's variable
        beta_1, beta_2 = self.beta_1, self.beta_2
        t = tf.cast(self.iterations.value + 1, tf.float32)
        # m_t = beta_1 m_{t-1} + (1 - beta_1) g_t,  v_t = beta_2 v_{t-1} + (1 - beta_2) g_t^2
        m = beta_1 * self._m[i].value + (1 - beta_1) * gradient
        v = beta_2 * self._v[i].value + (1 - beta_2) * tf.square(gradient)
        # m_hat = m_t / (1 - beta_1^t),  v_hat = v_t / (1 - beta_2^t)
        m_hat = m / (1 - tf.pow(beta_1, t))
        v_hat = v / (1 - tf.pow(beta_2, t))
        # rho_inf = 2 / (1 - beta_2) - 1,  rho_t = rho_inf - 2 t beta_2^t / (1 - beta_2^t)
        rho_inf = 2 / (1 - beta_2) - 1
        rho = rho_inf - 2 * t * tf.pow(beta_2, t) / (1 - tf.pow(beta_2, t))
        # r_t^2 = (rho_t - 4) (rho_t - 2) rho_inf / ((rho_inf - 4) (rho_inf - 2) rho_t)
        r2 = (rho - 4) * (rho - 2) * rho_inf / ((rho_inf - 4) * (rho_inf - 2) * rho)
        rectified = tf.sqrt(tf.maximum(r2, 0.0)) * m_hat / (tf.sqrt(v_hat) + self.epsilon)
        # theta_t = theta_{t-1} - alpha r_t m_hat / sqrt(v_hat) if rho_t > 4, else - alpha m_hat
        step = tf.where(rho > 4, rectified, m_hat)
        self.assign(self._m[i], m)
        self.assign(self._v[i], v)
        self.assign_sub(variable, learning_rate * step)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        config: dict[str, Any] = super().get_config()
        names = "beta_1", "beta_2", "epsilon"
        return config | {name: getattr(self, name) for name in names}
