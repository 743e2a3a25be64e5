r"""Optimizers over pure state, from plain descent to Muon.

Every optimizer has the same three verbs. `Optimizer.init` makes the state for some parameters. `Optimizer.update` turns
gradients into the *updates* that `apply_updates` adds to the parameters; it changes none of its arguments. And
`Optimizer.update_in_place` does both steps at once on the arrays it is given, which moves about half as many bytes.

Parameters are an array or a tree of arrays (dicts, lists and tuples).

>>> import numpy as np
>>> optimizer = adam(0.1)
>>> params = {"w": np.array([1.0, -2.0])}
>>> state = optimizer.init(params)
>>> updates, state = optimizer.update({"w": 2 * params["w"]}, state, params)
>>> apply_updates(params, updates)["w"].round(3)
array([ 0.9, -1.9])

The libraries differ in closed form: where epsilon stands, whether the rate enters the momentum, how Adagrad starts. The
paper's form is the default here (``convention="paper"``); ``"keras"``, ``"torch"`` and ``"optax"`` give theirs, which
decides the formula and never the default of `eps` or of a rate, unless a text below says so. In the formulas below, *g*
is the gradient, *w* the parameter, *t* the step counted from 1 and *lr* the rate.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from course_lib import _check
from course_lib._tree import Tree, as_parameters, leaves, tree_map

__all__ = [
    "Optimizer", "OptimizerState", "adadelta", "adagrad", "adam", "adamw", "amsgrad", "apply_updates", "lion", "muon",
    "nadam", "orthogonalize", "rmsprop", "sgd",
]  # fmt: skip

Schedule = Callable[[int], Any]
Rule = Callable[..., np.ndarray]

# Elementwise rules run over blocks of this many numbers: few enough for the slots and the intermediate results of a
# block to stay in the cache (1 MB for Adam in float32), enough to make NumPy's cost per call small beside them.
BLOCK = 32_768


@dataclass(frozen=True)
class OptimizerState:
    """What an optimizer remembers between two steps.

    Attributes
    ----------
    step : int
        How many steps were made.
    slots : dict of str to tree
        One tree per remembered quantity (``"m"``, ``"v"``, ...), each of the structure and shapes of the parameters.
    scalars : dict of str to float
        Running scalars, where the rule needs any.
    """

    step: int
    slots: dict[str, Tree]
    scalars: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Optimizer:
    """A rule that turns gradients into updates.

    Make one with `sgd`, `adam` and the other functions of this module rather than by hand.

    Attributes
    ----------
    name : str
        The name of the method.
    learning_rate : float or callable
        The rate, or a schedule from the step (counted from 0) to the rate.
    slots : mapping of str to float
        The names of the remembered quantities with the value each starts from.
    rule_at : callable
        ``rule_at(t, lr, scalars)`` gives the rule of step `t` (from 1): a function of gradient, parameter and slots
        that changes the slots in place and returns the update. It may change the dict `scalars`.
    scalars : mapping of str to float
        Starting values of running scalars.
    elementwise : bool
        Whether the rule treats every number on its own, so that it may run block by block.
    needs_params : bool
        Whether the rule reads the parameters (weight decay does).
    prepare : callable or None
        A function of the tree of gradients that runs first, such as clipping.
    """

    name: str
    learning_rate: float | Schedule
    slots: Mapping[str, float]
    rule_at: Callable[[int, float, dict[str, float]], Rule]
    scalars: Mapping[str, float] = field(default_factory=dict)
    elementwise: bool = True
    needs_params: bool = False
    prepare: Callable[[Tree], Tree] | None = None

    def init(self, params: Tree) -> OptimizerState:
        """Make the state for the first step.

        Parameters
        ----------
        params : array or tree of arrays
            The parameters, floating-point.

        Returns
        -------
        OptimizerState

        Raises
        ------
        TypeError
            If a leaf is not floating-point.
        """
        params = as_parameters(params)
        slots = {
            name: tree_map(lambda leaf, start=start: np.full_like(leaf, start), params)
            for name, start in self.slots.items()
        }
        return OptimizerState(0, slots, dict(self.scalars))

    def update(
        self, grads: Tree, state: OptimizerState, params: Tree | None = None, *, learning_rate: float | None = None
    ) -> tuple[Tree, OptimizerState]:
        """Compute the updates of one step; nothing that is passed in changes.

        Parameters
        ----------
        grads : array or tree of arrays
            The gradients, of the structure and shapes of the parameters.
        state : OptimizerState
            From `init` or from the step before.
        params : array or tree of arrays, optional
            The parameters; required where weight decay reads them.
        learning_rate : float, optional
            A rate for this step in place of the optimizer's own, for rules that react to the loss.

        Returns
        -------
        updates : array or tree of arrays
            What to add to the parameters.
        state : OptimizerState
            The state for the next step.

        Raises
        ------
        TypeError
            If a gradient is not made of real numbers.
        ValueError
            If a shape or a structure differs from the parameters', parameters are missing, the rate is negative, or the
            state belongs to another kind of optimizer.
        """
        grads, rule, new = self._begin(grads, state, params, learning_rate, copy=True)
        updates = tree_map(np.empty_like, grads)
        for out, *arguments in self._rows(grads, params, new.slots, updates):
            out[...] = rule(*arguments)
        return updates, new

    def update_in_place(
        self, params: Tree, grads: Tree, state: OptimizerState, *, learning_rate: float | None = None
    ) -> OptimizerState:
        """Make one step on the arrays of `params` and `state` themselves.

        Gives the numbers of `update` followed by `apply_updates`, but an elementwise rule allocates nothing of the
        parameters' size (`muon` and clipping do).

        Parameters
        ----------
        params, grads, state, learning_rate
            As in `update`. The leaves of `params` must be writable arrays; they and the state's arrays are changed.

        Returns
        -------
        OptimizerState
            The state for the next step; it shares its arrays with `state`, which must not be used again.

        Raises
        ------
        TypeError
            If a leaf of `params` is a plain number or an array that cannot be written to.
        ValueError
            As `update`.
        """
        for path, leaf in leaves(params):
            if not isinstance(leaf, np.ndarray) or not leaf.flags.writeable:
                kind = "read-only array" if isinstance(leaf, np.ndarray) else type(leaf).__name__
                raise TypeError(f"params{path} is a {kind}; a step in place needs writable NumPy arrays")
        grads, rule, new = self._begin(grads, state, params, learning_rate, copy=False)
        for parameter, *arguments in self._rows(grads, params, new.slots, params):
            parameter += rule(*arguments)
        return new

    def rate(self, step: int) -> float:
        """Give the learning rate of a step, counted from 0."""
        rate = self.learning_rate(step) if callable(self.learning_rate) else self.learning_rate
        return _check.non_negative("learning_rate", rate)

    def _begin(
        self, grads: Tree, state: OptimizerState, params: Tree | None, learning_rate: float | None, copy: bool
    ) -> tuple[Tree, Rule, OptimizerState]:
        if not isinstance(state, OptimizerState):
            raise TypeError(f"state is a {type(state).__name__}; it must come from init or from the step before")
        if state.slots.keys() != self.slots.keys():
            raise ValueError(f"state remembers {sorted(state.slots)}; {self.name} needs {sorted(self.slots)}")
        if self.needs_params and params is None:
            raise ValueError(f"params is None; {self.name} with weight decay needs update(grads, state, params)")
        like = next(iter(state.slots.values()), params)
        if like is None:
            grads = as_parameters(grads, "grads")
        else:
            paths = iter([path for path, _ in leaves(like)])
            # The state leads, so that the gradients come out in its order of keys.
            grads = tree_map(lambda p, g: _as_gradient(g, p, next(paths)), like, grads)
        if params is not None and params is not like:
            tree_map(_same_shape, grads, params)
        if self.prepare is not None:
            grads = self.prepare(grads)
        if learning_rate is None:
            lr = self.rate(state.step)
        else:
            lr = _check.non_negative("learning_rate", learning_rate)
        slots = {name: tree_map(np.copy, tree) if copy else tree for name, tree in state.slots.items()}
        new = OptimizerState(state.step + 1, slots, dict(state.scalars))
        return grads, self.rule_at(new.step, lr, new.scalars), new

    def _rows(self, grads: Tree, params: Tree | None, slots: dict[str, Tree], out: Tree) -> Any:
        """Give (out, gradient, parameter, *slots) leaf by leaf, and block by block where the rule allows it."""
        rows: list[tuple[Any, ...]] = []
        named = [slots[name] for name in self.slots]
        # Rules that do not read the parameters need none; they get `out` in that place.
        tree_map(lambda *row: rows.append(row), out, grads, out if params is None else params, *named)
        for row in rows:
            if self.elementwise and row[0].size > BLOCK and all(leaf.flags.c_contiguous for leaf in row):
                flat = [leaf.reshape(-1) for leaf in row]
                for i in range(0, row[0].size, BLOCK):
                    yield [leaf[i : i + BLOCK] for leaf in flat]
            else:
                yield row


def _as_gradient(gradient: Any, like: Any, path: str) -> np.ndarray:
    result = np.asarray(gradient)
    if result.dtype.kind not in "fiu":
        raise TypeError(f"grads{path} has dtype {result.dtype}; it must hold real numbers")
    if result.shape != np.shape(like):
        raise ValueError(f"grads{path} has shape {result.shape}, but its parameter has shape {np.shape(like)}")
    return result.astype(getattr(like, "dtype", np.float64), copy=False)


def _same_shape(gradient: np.ndarray, parameter: Any) -> None:
    if gradient.shape != np.shape(parameter):
        raise ValueError(f"a gradient has shape {gradient.shape}, but its parameter has shape {np.shape(parameter)}")


def apply_updates(params: Tree, updates: Tree) -> Tree:
    """Add updates to parameters, leaf by leaf, into new arrays.

    Parameters
    ----------
    params, updates : array or tree of arrays
        Of one structure and shapes.

    Returns
    -------
    array or tree of arrays

    Raises
    ------
    ValueError
        If a structure or a shape differs.
    """

    def add(parameter: Any, update: Any) -> Any:
        if np.shape(parameter) != np.shape(update):
            raise ValueError(f"an update has shape {np.shape(update)}, but its parameter {np.shape(parameter)}")
        return np.asarray(parameter + update)

    return tree_map(add, params, updates)


def _rate(learning_rate: Any) -> float | Schedule:
    return learning_rate if callable(learning_rate) else _check.non_negative("learning_rate", learning_rate)


def sgd(
    learning_rate: float | Schedule = 0.01,
    momentum: float = 0.0,
    nesterov: bool = False,
    *,
    weight_decay: float = 0.0,
    convention: str = "paper",
) -> Optimizer:
    r"""Gradient descent, with momentum or with Nesterov's look-ahead.

    Plain: ``w -= lr * g``. Whether it is batch, mini-batch or stochastic descent is decided by the data that the
    gradient was computed from, not here.

    Parameters
    ----------
    learning_rate : float or callable
        The rate, or a schedule from the step (from 0) to the rate.
    momentum : float
        Share of the last update that is kept, in [0, 1).
    nesterov : bool
        Whether the gradient counts as taken at the point that momentum is about to reach.
    weight_decay : float
        An L2 penalty's gradient, ``weight_decay * w``, added to *g*, in every convention. (The argument of that name in
        Keras decays the weights beside the step, as `adamw` does.)
    convention : {"paper", "keras", "torch", "optax"}
        ``"paper"`` and ``"keras"`` put the rate into the velocity, ``v = momentum*v - lr*g; w += v`` (Nesterov:
        ``w += momentum*v - lr*g``). ``"torch"`` and ``"optax"`` keep it out, ``v = momentum*v + g; w -= lr*v``
        (Nesterov: ``w -= lr*(g + momentum*v)``). The two part as soon as the rate changes.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range, or `nesterov` is asked for without momentum.

    References
    ----------
    B. T. Polyak, 1964, doi:10.1016/0041-5553(64)90137-5. Y. Nesterov, 1983, Soviet Mathematics Doklady 27. The form
    used here: I. Sutskever, J. Martens, G. Dahl, G. Hinton, 2013, https://proceedings.mlr.press/v28/sutskever13.html
    """
    momentum = _check.fraction("momentum", momentum)
    weight_decay = _check.non_negative("weight_decay", weight_decay)
    nesterov = _check.flag("nesterov", nesterov)
    _check.choice("convention", convention, ("paper", "keras", "torch", "optax"))
    if nesterov and momentum == 0:
        raise ValueError("nesterov is True and momentum is 0; Nesterov's method needs a momentum above 0")
    rate_in_velocity = convention in ("paper", "keras")

    def rule_at(t: int, lr: float, scalars: dict[str, float]) -> Rule:
        def rule(g: np.ndarray, w: np.ndarray, *slots: np.ndarray) -> np.ndarray:
            if weight_decay:
                g = g + weight_decay * w
            if not slots:
                return -lr * g
            (v,) = slots
            v *= momentum
            if rate_in_velocity:
                step = lr * g
                v -= step
                return momentum * v - step if nesterov else v
            v += g
            return -lr * (g + momentum * v) if nesterov else -lr * v

        return rule

    return Optimizer(
        "sgd", _rate(learning_rate), {"velocity": 0.0} if momentum else {}, rule_at, needs_params=weight_decay > 0
    )


def adagrad(
    learning_rate: float | Schedule = 0.01,
    eps: float | None = None,
    initial_accumulator: float | None = None,
    *,
    convention: str = "paper",
) -> Optimizer:
    """Adagrad: each coordinate's rate shrinks with the squares of all gradients it has seen.

    ``s += g**2; w -= lr * g / (sqrt(s) + eps)``

    Parameters
    ----------
    learning_rate : float or callable
        The rate, or a schedule from the step (from 0) to the rate.
    eps : float, optional
        Keeps the quotient finite. Default 1e-10; 1e-7 for ``"keras"`` and ``"optax"``.
    initial_accumulator : float, optional
        The start of *s*. Default 0; 0.1 for ``"keras"`` and ``"optax"``.
    convention : {"paper", "torch", "keras", "optax"}
        ``"keras"`` and ``"optax"`` take ``sqrt(s + eps)``.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    J. Duchi, E. Hazan, Y. Singer, 2011, https://jmlr.org/papers/v12/duchi11a.html
    """
    _check.choice("convention", convention, ("paper", "torch", "keras", "optax"))
    inside = convention in ("keras", "optax")
    eps = _check.non_negative("eps", (1e-7 if inside else 1e-10) if eps is None else eps)
    start = (0.1 if inside else 0.0) if initial_accumulator is None else initial_accumulator
    start = _check.non_negative("initial_accumulator", start)

    def rule_at(t: int, lr: float, scalars: dict[str, float]) -> Rule:
        def rule(g: np.ndarray, w: np.ndarray, s: np.ndarray) -> np.ndarray:
            s += np.square(g)
            return -lr * g / (np.sqrt(s + eps) if inside else np.sqrt(s) + eps)

        return rule

    return Optimizer("adagrad", _rate(learning_rate), {"s": start}, rule_at)


def rmsprop(
    learning_rate: float | Schedule = 0.001,
    rho: float = 0.9,
    eps: float = 1e-8,
    momentum: float = 0.0,
    centered: bool = False,
    *,
    convention: str = "paper",
) -> Optimizer:
    """RMSprop: Adagrad with a memory that fades.

    ``s = rho*s + (1 - rho)*g**2; w -= lr * g / (sqrt(s) + eps)``

    Parameters
    ----------
    learning_rate : float or callable
        The rate, or a schedule from the step (from 0) to the rate.
    rho : float
        Share of the old mean square that is kept, in [0, 1).
    eps : float
        Keeps the quotient finite.
    momentum : float
        Momentum over the scaled gradients, in [0, 1).
    centered : bool
        Whether the square of the mean gradient is taken off the mean square.
    convention : {"paper", "torch", "keras", "optax"}
        ``"keras"`` and ``"optax"`` take ``sqrt(s + eps)``; ``"torch"`` keeps the rate out of the momentum. (The lecture
        that is the source has neither epsilon nor momentum; the default here puts epsilon outside and the rate inside.)

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    T. Tieleman, G. Hinton, 2012, Neural Networks for Machine Learning, lecture 6.5. With momentum and centring:
    A. Graves, 2013, arXiv:1308.0850
    """
    rho, momentum = _check.fraction("rho", rho), _check.fraction("momentum", momentum)
    eps = _check.non_negative("eps", eps)
    centered = _check.flag("centered", centered)
    _check.choice("convention", convention, ("paper", "torch", "keras", "optax"))
    inside, rate_in_velocity = convention in ("keras", "optax"), convention != "torch"
    slots = {"s": 0.0} | ({"mean": 0.0} if centered else {}) | ({"velocity": 0.0} if momentum else {})

    def rule_at(t: int, lr: float, scalars: dict[str, float]) -> Rule:
        def rule(g: np.ndarray, w: np.ndarray, s: np.ndarray, *more: np.ndarray) -> np.ndarray:
            s *= rho
            s += (1 - rho) * np.square(g)
            spread = s
            if centered:
                mean = more[0]
                mean += (1 - rho) * (g - mean)
                # Under a constant gradient both terms become equal, and rounding can leave a difference below 0.
                spread = np.maximum(s - mean * mean, 0)
            scaled = g / (np.sqrt(spread + eps) if inside else np.sqrt(spread) + eps)
            if not momentum:
                return -lr * scaled
            velocity = more[-1]
            velocity *= momentum
            velocity += lr * scaled if rate_in_velocity else scaled
            return -velocity if rate_in_velocity else -lr * velocity

        return rule

    return Optimizer("rmsprop", _rate(learning_rate), slots, rule_at)


def adadelta(learning_rate: float | Schedule = 1.0, rho: float = 0.95, eps: float = 1e-6) -> Optimizer:
    """Adadelta: the step of a coordinate is scaled by the size of its own past steps.

    ``s = rho*s + (1-rho)*g**2; step = sqrt(d + eps)/sqrt(s + eps) * g; d = rho*d + (1-rho)*step**2; w -= lr*step``

    Parameters
    ----------
    learning_rate : float or callable
        A factor on the step; the paper has none, so 1.
    rho : float
        Share of the old mean squares that is kept, in [0, 1).
    eps : float
        Starts the method: with ``eps=0`` the first step, and so every step, is 0.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    M. D. Zeiler, 2012, arXiv:1212.5701
    """
    rho, eps = _check.fraction("rho", rho), _check.positive("eps", eps)

    def rule_at(t: int, lr: float, scalars: dict[str, float]) -> Rule:
        def rule(g: np.ndarray, w: np.ndarray, s: np.ndarray, d: np.ndarray) -> np.ndarray:
            s *= rho
            s += (1 - rho) * np.square(g)
            step = np.sqrt((d + eps) / (s + eps)) * g
            d *= rho
            d += (1 - rho) * np.square(step)
            return -lr * step

        return rule

    return Optimizer("adadelta", _rate(learning_rate), {"s": 0.0, "d": 0.0}, rule_at)


def adam(
    learning_rate: float | Schedule = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    *,
    bias_correction: bool = True,
    weight_decay: float = 0.0,
    convention: str = "paper",
) -> Optimizer:
    r"""Adam: momentum divided by the root of a fading mean square, both corrected for their start at 0.

    ``m = beta1*m + (1-beta1)*g; v = beta2*v + (1-beta2)*g**2;``
    ``w -= lr * (m / (1-beta1**t)) / (sqrt(v / (1-beta2**t)) + eps)``

    Parameters
    ----------
    learning_rate : float or callable
        The rate, or a schedule from the step (from 0) to the rate.
    beta1, beta2 : float
        Shares of the old means that are kept, in [0, 1).
    eps : float
        Keeps the quotient finite.
    bias_correction : bool
        Whether the divisions by ``1 - beta**t`` are made. Without them the first steps are far too large (with the
        default betas the very first by a factor of about 3.2).
    weight_decay : float
        An L2 penalty's gradient, ``weight_decay * w``, added to *g*, so that it is scaled like the gradient, in every
        convention. `adamw` decays the weights themselves (as the argument of that name in Keras does).
    convention : {"paper", "torch", "optax", "keras"}
        ``"keras"`` adds epsilon to the uncorrected root (the paper's "epsilon hat"):
        ``lr * sqrt(1-beta2**t)/(1-beta1**t) * m / (sqrt(v) + eps)``.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    D. P. Kingma, J. Ba, 2015, arXiv:1412.6980
    """
    return _adam("adam", learning_rate, beta1, beta2, eps, bias_correction, weight_decay, False, convention)


def adamw(
    learning_rate: float | Schedule = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    weight_decay: float = 0.01,
    *,
    bias_correction: bool = True,
    convention: str = "paper",
) -> Optimizer:
    r"""Adam with decoupled weight decay: ``w -= lr * weight_decay * w`` beside Adam's step, not through it.

    Parameters
    ----------
    learning_rate : float or callable
        The rate, or a schedule from the step (from 0) to the rate.
    beta1, beta2, eps, bias_correction, convention
        As in `adam`.
    weight_decay : float
        The share of the weight that a step at rate 1 would take off. In the paper's algorithm 2 the rate is a product
        of a base rate and a schedule's multiplier, and only the multiplier scales the decay; the paper's decay is this
        one times the base rate. All libraries use the form here.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    I. Loshchilov, F. Hutter, 2019, arXiv:1711.05101
    """
    return _adam("adamw", learning_rate, beta1, beta2, eps, bias_correction, weight_decay, True, convention)


def _adam(
    name: str,
    learning_rate: float | Schedule,
    beta1: float,
    beta2: float,
    eps: float,
    bias_correction: bool,
    weight_decay: float,
    decoupled: bool,
    convention: str,
) -> Optimizer:
    beta1, beta2 = _check.fraction("beta1", beta1), _check.fraction("beta2", beta2)
    eps, weight_decay = _check.non_negative("eps", eps), _check.non_negative("weight_decay", weight_decay)
    bias_correction = _check.flag("bias_correction", bias_correction)
    eps_hat = _check.choice("convention", convention, ("paper", "torch", "optax", "keras")) == "keras"

    def rule_at(t: int, lr: float, scalars: dict[str, float]) -> Rule:
        c1, c2 = (1 - beta1**t, 1 - beta2**t) if bias_correction else (1.0, 1.0)
        # The root of c2 is taken out of the quotient (as at the end of the paper's section 2), to scale m only once.
        scale, outside = lr * math.sqrt(c2) / c1, eps if eps_hat else eps * math.sqrt(c2)

        def rule(g: np.ndarray, w: np.ndarray, m: np.ndarray, v: np.ndarray) -> np.ndarray:
            if weight_decay and not decoupled:
                g = g + weight_decay * w
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * np.square(g)
            update = -scale * (m / (np.sqrt(v) + outside))
            return update - (lr * weight_decay) * w if weight_decay and decoupled else update

        return rule

    return Optimizer(name, _rate(learning_rate), {"m": 0.0, "v": 0.0}, rule_at, needs_params=weight_decay > 0)


def nadam(
    learning_rate: float | Schedule = 0.002,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    momentum_decay: float | None = None,
    *,
    convention: str = "paper",
) -> Optimizer:
    r"""Nadam: Adam whose momentum looks one step ahead, as Nesterov's does.

    With ``mu(t) = beta1 * (1 - 0.5 * 0.96**(t * momentum_decay))`` and ``P(t)`` the product of ``mu(1) ... mu(t)``:
    ``m = mu(t)*m + (1-mu(t))*g; v = beta2*v + (1-beta2)*g**2;``
    ``ahead = mu(t+1)*m/(1 - P(t+1)) + (1 - mu(t))*g/(1 - P(t)); w -= lr * ahead / (sqrt(beta2*v/(1-beta2**t)) + eps)``

    Parameters
    ----------
    learning_rate : float or callable
        The rate, or a schedule from the step (from 0) to the rate.
    beta1, beta2, eps
        As in `adam`.
    momentum_decay : float, optional
        How fast ``mu(t)`` approaches `beta1`. Default 0.004; 1 for ``"keras"``. ``"optax"`` has no such schedule and
        refuses a value.
    convention : {"paper", "torch", "keras", "optax"}
        The libraries drop the factor `beta2` under the root, and average *m* with `beta1` in place of ``mu(t)``, so
        that their correction ``1 - P`` does not quite fit. In ``"optax"``, ``mu(t) = beta1`` throughout.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    T. Dozat, 2016, algorithm 2, https://openreview.net/forum?id=OM0jvwB8jIp57ZJjtNEZ
    """
    beta1, beta2 = _check.fraction("beta1", beta1), _check.fraction("beta2", beta2)
    eps = _check.non_negative("eps", eps)
    _check.choice("convention", convention, ("paper", "torch", "keras", "optax"))
    if convention == "optax" and momentum_decay is not None:
        raise ValueError(f"momentum_decay is {momentum_decay!r}; with convention='optax' it must be None")
    decay = (1.0 if convention == "keras" else 0.004) if momentum_decay is None else momentum_decay
    decay = _check.non_negative("momentum_decay", decay)

    def mu(t: int) -> float:
        return beta1 if convention == "optax" else beta1 * (1 - 0.5 * 0.96 ** (t * decay))

    def rule_at(t: int, lr: float, scalars: dict[str, float]) -> Rule:
        scalars["mu_product"] *= mu(t)
        product = scalars["mu_product"]
        from_m = mu(t + 1) / (1 - product * mu(t + 1))
        from_g = (1 - mu(t)) / (1 - product)
        kept = mu(t) if convention == "paper" else beta1
        c2 = 1 - beta2**t
        from_m, from_g = -lr * from_m, -lr * from_g
        root_scale = math.sqrt((beta2 if convention == "paper" else 1.0) / c2)

        def rule(g: np.ndarray, w: np.ndarray, m: np.ndarray, v: np.ndarray) -> np.ndarray:
            m *= kept
            m += (1 - kept) * g
            v *= beta2
            v += (1 - beta2) * np.square(g)
            return (from_m * m + from_g * g) / (np.sqrt(v) * root_scale + eps)

        return rule

    return Optimizer("nadam", _rate(learning_rate), {"m": 0.0, "v": 0.0}, rule_at, {"mu_product": 1.0})


def amsgrad(
    learning_rate: float | Schedule = 0.001,
    beta1: float = 0.9,
    beta2: float = 0.999,
    eps: float = 1e-8,
    *,
    convention: str = "paper",
) -> Optimizer:
    """AMSGrad: Adam whose divisor never shrinks, which repairs its proof of convergence.

    ``m, v`` as in Adam; ``top = max(top, v); w -= lr * m / (sqrt(top) + eps)``

    Parameters
    ----------
    learning_rate : float or callable
        The rate, or a schedule from the step (from 0) to the rate.
    beta1, beta2, eps
        As in `adam`.
    convention : {"paper", "torch", "keras", "optax"}
        The paper corrects no bias (and has no epsilon). ``"torch"`` divides by ``sqrt(top / (1-beta2**t)) + eps`` and
        corrects *m*; ``"keras"`` does so with epsilon added to the uncorrected root; ``"optax"`` takes the maximum of
        the corrected *v*.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    S. J. Reddi, S. Kale, S. Kumar, 2018, arXiv:1904.09237
    """
    beta1, beta2 = _check.fraction("beta1", beta1), _check.fraction("beta2", beta2)
    eps = _check.non_negative("eps", eps)
    _check.choice("convention", convention, ("paper", "torch", "keras", "optax"))

    def rule_at(t: int, lr: float, scalars: dict[str, float]) -> Rule:
        c1, c2 = (1.0, 1.0) if convention == "paper" else (1 - beta1**t, 1 - beta2**t)
        before_maximum = c2 if convention == "optax" else 1.0
        after_maximum = 1.0 if convention == "optax" else c2
        scale = lr * math.sqrt(after_maximum) / c1
        outside = eps if convention == "keras" else eps * math.sqrt(after_maximum)

        def rule(g: np.ndarray, w: np.ndarray, m: np.ndarray, v: np.ndarray, top: np.ndarray) -> np.ndarray:
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * np.square(g)
            np.maximum(top, v if before_maximum == 1 else v / before_maximum, out=top)
            return -scale * (m / (np.sqrt(top) + outside))

        return rule

    return Optimizer("amsgrad", _rate(learning_rate), {"m": 0.0, "v": 0.0, "top": 0.0}, rule_at)


def lion(
    learning_rate: float | Schedule = 1e-4,
    beta1: float = 0.9,
    beta2: float = 0.99,
    weight_decay: float = 0.0,
) -> Optimizer:
    """Lion: only the sign of a momentum, so every coordinate moves by the same amount.

    ``w -= lr * (sign(beta1*m + (1-beta1)*g) + weight_decay*w); m = beta2*m + (1-beta2)*g``

    Parameters
    ----------
    learning_rate : float or callable
        The rate, or a schedule from the step (from 0) to the rate; three to ten times smaller than Adam's.
    beta1, beta2 : float
        Shares in [0, 1): of *m* in the step, and of *m* in its own update.
    weight_decay : float
        Decoupled weight decay.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    X. Chen et al., 2023, arXiv:2302.06675
    """
    beta1, beta2 = _check.fraction("beta1", beta1), _check.fraction("beta2", beta2)
    weight_decay = _check.non_negative("weight_decay", weight_decay)

    def rule_at(t: int, lr: float, scalars: dict[str, float]) -> Rule:
        def rule(g: np.ndarray, w: np.ndarray, m: np.ndarray) -> np.ndarray:
            update = -lr * np.sign(beta1 * m + (1 - beta1) * g)
            m *= beta2
            m += (1 - beta2) * g
            return update - (lr * weight_decay) * w if weight_decay else update

        return rule

    return Optimizer("lion", _rate(learning_rate), {"m": 0.0}, rule_at, needs_params=weight_decay > 0)


def orthogonalize(
    matrix: np.ndarray,
    steps: int = 5,
    coefficients: tuple[float, float, float] = (3.4445, -4.7750, 2.0315),
    eps: float = 1e-7,
) -> np.ndarray:
    """Push all singular values of a matrix towards 1 by a quintic Newton-Schulz iteration.

    ``X = a*X + b*(X X') X + c*(X X')**2 X``, from ``X = matrix / (norm(matrix) + eps)`` with the Frobenius norm. With
    the default coefficients the singular values end between 0.68 and 1.21, not at 1: they are chosen for speed at
    small singular values, and only one below 0.0016 of the norm needs more than five steps.

    Parameters
    ----------
    matrix : ndarray, shape (rows, columns)
        The matrix to orthogonalize, floating-point.
    steps : int
        How many iterations.
    coefficients : tuple of three floats
        *a*, *b*, *c*.
    eps : float
        Keeps the quotient finite where the matrix is 0.

    Returns
    -------
    ndarray, shape (rows, columns)
        Of the dtype of `matrix`.

    Raises
    ------
    ValueError
        If `matrix` has not two dimensions, or a number is out of its range.

    References
    ----------
    K. Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/

    Examples
    --------
    >>> import numpy as np
    >>> tilted = np.array([[3.0, 1.0], [0.0, 0.2]])
    >>> np.linalg.svd(tilted, compute_uv=False).round(2)
    array([3.16, 0.19])
    >>> np.linalg.svd(orthogonalize(tilted), compute_uv=False).round(2)
    array([1. , 0.7])
    """
    if np.ndim(matrix) != 2:
        raise ValueError(f"matrix has shape {np.shape(matrix)}; it must have 2 dimensions")
    (matrix,) = as_parameters([matrix], "matrix")
    if len(coefficients) != 3:
        raise ValueError(f"coefficients is {coefficients!r}; it must be three numbers")
    _check.count("steps", steps)
    return _newton_schulz(matrix / (float(np.linalg.norm(matrix)) + _check.positive("eps", eps)), steps, coefficients)


def _newton_schulz(x: np.ndarray, steps: int, coefficients: tuple[float, float, float]) -> np.ndarray:
    a, b, c = coefficients
    # X X' is the smaller of the two Gram matrices where X is wider than high.
    tall = x.shape[0] > x.shape[1]
    x = x.T if tall else x
    for _ in range(steps):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x


def muon(
    learning_rate: float | Schedule = 0.02,
    momentum: float = 0.95,
    nesterov: bool = True,
    weight_decay: float = 0.0,
    *,
    ns_steps: int = 5,
    adam_learning_rate_ratio: float = 0.015,
    beta1: float = 0.9,
    beta2: float = 0.95,
    eps: float = 1e-8,
    convention: str = "paper",
) -> Optimizer:
    """Muon: momentum, orthogonalized, for matrices; Adam for everything else.

    For a matrix of shape (rows, columns) ``buffer = momentum*buffer + g``; with Nesterov ``g + momentum*buffer``; then
    `orthogonalize`, and ``w -= lr * sqrt(max(1, rows/columns)) * that``. The description stores kernels as (outputs,
    inputs), as torch does. For kernels stored as (inputs, outputs), as in Keras, ``"optax"`` has the same factor the
    other way round.

    Parameters
    ----------
    learning_rate : float or callable
        The rate of the matrices, or a schedule from the step (from 0) to it.
    momentum, nesterov
        As in `sgd`; the momentum is in [0, 1).
    weight_decay : float
        Decoupled weight decay, on all parameters.
    ns_steps : int
        Iterations of `orthogonalize`.
    adam_learning_rate_ratio : float
        The rate of the parameters that are no matrices, as a share of `learning_rate`.
    beta1, beta2, eps
        Adam's, for those.
    convention : {"paper", "torch", "keras", "optax"}
        ``"torch"`` averages, ``buffer = momentum*buffer + (1-momentum)*g``, with Nesterov
        ``(1-momentum)*g + momentum*buffer``, which is a change of scale only, and starts the iteration from
        ``matrix / max(norm, 1e-7)``. (torch computes it in bfloat16; here it keeps the dtype.)
        ``"keras"`` scales the step by ``0.2 * sqrt(max(rows, columns))``, uses Keras' form of Adam and decays
        everything at the rate of the matrices. ``"optax"`` averages as torch does, corrects the mean for its start at
        0, scales by ``sqrt(max(1, columns/rows))``, takes `eps` also for the iteration, and with Nesterov uses its form
        of `nadam` for the rest.

    Returns
    -------
    Optimizer

    Raises
    ------
    ValueError
        If a number is out of its range.

    References
    ----------
    K. Jordan et al., 2024, https://kellerjordan.github.io/posts/muon/. The scale of ``"keras"``: J. Liu et al., 2025,
    arXiv:2502.16982
    """
    momentum = _check.fraction("momentum", momentum)
    nesterov = _check.flag("nesterov", nesterov)
    weight_decay = _check.non_negative("weight_decay", weight_decay)
    ratio = _check.non_negative("adam_learning_rate_ratio", adam_learning_rate_ratio)
    _check.count("ns_steps", ns_steps)
    _check.choice("convention", convention, ("paper", "torch", "keras", "optax"))
    if nesterov and momentum == 0:
        raise ValueError("nesterov is True and momentum is 0; Nesterov's method needs a momentum above 0")
    if convention == "optax" and nesterov:
        rest = nadam(1.0, beta1, beta2, eps, convention="optax")
    else:
        rest = adam(1.0, beta1, beta2, eps, convention="keras" if convention == "keras" else "paper")
    averages = convention in ("torch", "optax")

    def rule_at(t: int, lr: float, scalars: dict[str, float]) -> Rule:
        rest_rule = rest.rule_at(t, lr * ratio, scalars)
        fresh = 1 - momentum if averages else 1.0
        from_m, from_g = (momentum, fresh) if nesterov else (1.0, 0.0)
        if convention == "optax":
            from_m /= 1 - momentum ** (t + 1 if nesterov else t)
            from_g /= 1 - momentum**t

        def rule(g: np.ndarray, w: np.ndarray, m: np.ndarray, v: np.ndarray) -> np.ndarray:
            if g.ndim != 2 or g.size == 0:
                update = rest_rule(g, w, m, v)
                decay_rate = lr if convention == "keras" else lr * ratio
            else:
                m *= momentum
                m += fresh * g
                direction = from_m * m + from_g * g if nesterov else from_m * m
                norm = float(np.linalg.norm(direction))
                divisor = {"torch": max(norm, 1e-7), "optax": norm + eps}.get(convention, norm + 1e-7)
                rows, columns = g.shape
                scale = {
                    "keras": 0.2 * math.sqrt(max(rows, columns)),
                    "optax": math.sqrt(max(1, columns / rows)),
                }.get(convention, math.sqrt(max(1, rows / columns)))
                update = -(lr * scale) * _newton_schulz(direction / divisor, ns_steps, (3.4445, -4.7750, 2.0315))
                decay_rate = lr
            return update - (decay_rate * weight_decay) * w if weight_decay else update

        return rule

    return Optimizer(
        "muon",
        _rate(learning_rate),
        {"m": 0.0, "v": 0.0},
        rule_at,
        rest.scalars,
        elementwise=False,
        needs_params=weight_decay > 0,
    )
