"""The papers' and the libraries' formulas in a few lines each, written independently of the package.

A formula gives the next parameter from the parameter `w`, the list `G` of all gradients so far (the last is this
step's), the rate `lr` and a dict `s` that it may use as its memory. Running means are sums over `G`, not recursions.
"""

import numpy as np

from course_lib.optimization import optimizers as o

B1, B2, EPS, WD = 0.8, 0.95, 1e-2, 0.1


def mean(terms, b):
    """Give (1-b) * sum of b**(age of the term) * term."""
    return (1 - b) * sum(b ** (len(terms) - 1 - i) * term for i, term in enumerate(terms))


def squares(G):
    return [g * g for g in G]


def corrected(terms, b):
    return mean(terms, b) / (1 - b ** len(terms))


def velocity_with_rate(steps, b):
    """Give the sum of b**age * step, where the steps hold the rates of their own times."""
    return sum(b ** (len(steps) - 1 - i) * step for i, step in enumerate(steps))


def remember(s, name, value):
    s.setdefault(name, []).append(value)
    return s[name]


def penalized(formula):
    """Add the gradient of an L2 penalty to the gradient before the formula sees it."""
    return lambda w, G, lr, s: formula(w, remember(s, "G", G[-1] + WD * w), lr, s)


def decayed(formula):
    """Take the decay off the weights beside the formula's step."""
    return lambda w, G, lr, s: formula(w, G, lr, s) - lr * WD * w


def sgd(w, G, lr, s):
    return w - lr * G[-1]


def momentum_with_rate(w, G, lr, s):
    return w - velocity_with_rate(remember(s, "steps", lr * G[-1]), B1)


def momentum_without_rate(w, G, lr, s):
    return w - lr * velocity_with_rate(G, B1)


def nesterov_with_rate(w, G, lr, s):
    return w - B1 * velocity_with_rate(remember(s, "steps", lr * G[-1]), B1) - lr * G[-1]


def nesterov_without_rate(w, G, lr, s):
    return w - lr * (G[-1] + B1 * velocity_with_rate(G, B1))


def adagrad_outside(w, G, lr, s):
    return w - lr * G[-1] / (np.sqrt(sum(squares(G))) + EPS)


def adagrad_from_a_half(w, G, lr, s):
    return w - lr * G[-1] / (np.sqrt(0.5 + sum(squares(G))) + EPS)


def adagrad_inside(w, G, lr, s):
    return w - lr * G[-1] / np.sqrt(0.1 + sum(squares(G)) + EPS)


def rmsprop_outside(w, G, lr, s):
    return w - lr * G[-1] / (np.sqrt(mean(squares(G), B1)) + EPS)


def rmsprop_inside(w, G, lr, s):
    return w - lr * G[-1] / np.sqrt(mean(squares(G), B1) + EPS)


def variance(G):
    return mean(squares(G), B1) - mean(G, B1) ** 2


def rmsprop_centered_momentum_outside(w, G, lr, s):
    step = lr * G[-1] / (np.sqrt(variance(G)) + EPS)
    return w - velocity_with_rate(remember(s, "steps", step), 0.7)


def rmsprop_centered_momentum_inside(w, G, lr, s):
    step = lr * G[-1] / np.sqrt(variance(G) + EPS)
    return w - velocity_with_rate(remember(s, "steps", step), 0.7)


def rmsprop_centered_momentum_torch(w, G, lr, s):
    scaled = G[-1] / (np.sqrt(variance(G)) + EPS)
    return w - lr * velocity_with_rate(remember(s, "scaled", scaled), 0.7)


def adadelta(w, G, lr, s):
    past = mean(squares(s["steps"]), B1) if "steps" in s else 0.0
    step = np.sqrt(past + EPS) / np.sqrt(mean(squares(G), B1) + EPS) * G[-1]
    remember(s, "steps", step)
    return w - lr * step


def adam(w, G, lr, s):
    return w - lr * corrected(G, B1) / (np.sqrt(corrected(squares(G), B2)) + EPS)


def adam_uncorrected(w, G, lr, s):
    return w - lr * mean(G, B1) / (np.sqrt(mean(squares(G), B2)) + EPS)


def adam_eps_hat(w, G, lr, s):
    t = len(G)
    rate = lr * np.sqrt(1 - B2**t) / (1 - B1**t)
    return w - rate * mean(G, B1) / (np.sqrt(mean(squares(G), B2)) + EPS)


def largest(terms):
    return np.max(np.stack(terms), axis=0)


def amsgrad(w, G, lr, s):
    return w - lr * mean(G, B1) / (np.sqrt(largest(remember(s, "v", mean(squares(G), B2)))) + EPS)


def amsgrad_torch(w, G, lr, s):
    top = largest(remember(s, "v", mean(squares(G), B2)))
    return w - lr * corrected(G, B1) / (np.sqrt(top / (1 - B2 ** len(G))) + EPS)


def amsgrad_keras(w, G, lr, s):
    t = len(G)
    top = largest(remember(s, "v", mean(squares(G), B2)))
    return w - lr * np.sqrt(1 - B2**t) / (1 - B1**t) * mean(G, B1) / (np.sqrt(top) + EPS)


def amsgrad_optax(w, G, lr, s):
    top = largest(remember(s, "v", corrected(squares(G), B2)))
    return w - lr * corrected(G, B1) / (np.sqrt(top) + EPS)


def mus(t, decay):
    """Give mu(1) to mu(t+1)."""
    return [B1 * (1 - 0.5 * 0.96 ** (i * decay)) for i in range(1, t + 2)]


def nadam_paper(w, G, lr, s):
    t, mu = len(G), mus(len(G), 0.004)
    # The mean with a share that changes: every term is multiplied by all shares that came after it.
    m = sum((1 - mu[i]) * np.prod(mu[i + 1 : t]) * g for i, g in enumerate(G))
    ahead = mu[t] * m / (1 - np.prod(mu)) + (1 - mu[t - 1]) * G[-1] / (1 - np.prod(mu[:t]))
    return w - lr * ahead / (np.sqrt(B2 * corrected(squares(G), B2)) + EPS)


def nadam_library(decay):
    def nadam(w, G, lr, s):
        t, mu = len(G), mus(len(G), decay)
        ahead = mu[t] * mean(G, B1) / (1 - np.prod(mu)) + (1 - mu[t - 1]) * G[-1] / (1 - np.prod(mu[:t]))
        return w - lr * ahead / (np.sqrt(corrected(squares(G), B2)) + EPS)

    return nadam


def nadam_optax(w, G, lr, s):
    t = len(G)
    ahead = B1 * mean(G, B1) / (1 - B1 ** (t + 1)) + (1 - B1) * G[-1] / (1 - B1**t)
    return w - lr * ahead / (np.sqrt(corrected(squares(G), B2)) + EPS)


def lion(w, G, lr, s):
    before = mean(G[:-1], B2) if len(G) > 1 else 0.0
    return w - lr * np.sign(B1 * before + (1 - B1) * G[-1])


def through_singular_values(matrix, norm_eps=1e-7, steps=5):
    u, sigma, vt = np.linalg.svd(matrix, full_matrices=False)
    sigma = sigma / (np.sqrt(np.sum(sigma**2)) + norm_eps)
    for _ in range(steps):
        sigma = 3.4445 * sigma - 4.7750 * sigma**3 + 2.0315 * sigma**5
    return (u * sigma) @ vt


def muon(w, G, lr, s):
    if w.ndim != 2:
        return adam(w, G, 0.5 * lr, s)
    direction = G[-1] + B1 * velocity_with_rate(G, B1)
    return w - lr * max(1, w.shape[0] / w.shape[1]) ** 0.5 * through_singular_values(direction)


def muon_plain(w, G, lr, s):
    if w.ndim != 2:
        return adam(w, G, 0.5 * lr, s)
    return w - lr * max(1, w.shape[0] / w.shape[1]) ** 0.5 * through_singular_values(velocity_with_rate(G, B1), steps=3)


def muon_torch(w, G, lr, s):
    if w.ndim != 2:
        return adam(w, G, 0.5 * lr, s)
    direction = (1 - B1) * G[-1] + B1 * mean(G, B1)
    return w - lr * max(1, w.shape[0] / w.shape[1]) ** 0.5 * through_singular_values(direction, norm_eps=0)


def muon_keras(w, G, lr, s):
    if w.ndim != 2:
        return adam_eps_hat(w, G, 0.5 * lr, s)
    direction = G[-1] + B1 * velocity_with_rate(G, B1)
    return w - lr * 0.2 * max(w.shape) ** 0.5 * through_singular_values(direction)


def muon_optax(w, G, lr, s):
    if w.ndim != 2:
        return nadam_optax(w, G, 0.5 * lr, s)
    t = len(G)
    direction = B1 * mean(G, B1) / (1 - B1 ** (t + 1)) + (1 - B1) * G[-1] / (1 - B1**t)
    return w - lr * max(1, w.shape[1] / w.shape[0]) ** 0.5 * through_singular_values(direction, norm_eps=EPS)


def muon_optax_plain(w, G, lr, s):
    if w.ndim != 2:
        return adam(w, G, 0.5 * lr, s)
    direction = corrected(G, B1)
    return w - lr * max(1, w.shape[1] / w.shape[0]) ** 0.5 * through_singular_values(direction, norm_eps=EPS)


def muon_of(**options):
    return lambda lr: o.muon(lr, B1, adam_learning_rate_ratio=0.5, beta1=B1, beta2=B2, eps=EPS, **options)


# "optimizer convention, options": (the optimizer here, from a rate or a schedule; the formula)
FORMULAS = {
    "sgd paper": (lambda lr: o.sgd(lr), sgd),
    "sgd paper decay": (lambda lr: o.sgd(lr, weight_decay=WD), penalized(sgd)),
    "adadelta any": (lambda lr: o.adadelta(lr, B1, EPS), adadelta),
    "adagrad paper": (lambda lr: o.adagrad(lr, EPS), adagrad_outside),
    "adagrad paper start": (lambda lr: o.adagrad(lr, EPS, 0.5), adagrad_from_a_half),
    "adagrad torch": (lambda lr: o.adagrad(lr, EPS, convention="torch"), adagrad_outside),
    "adagrad keras": (lambda lr: o.adagrad(lr, EPS, convention="keras"), adagrad_inside),
    "adagrad optax": (lambda lr: o.adagrad(lr, EPS, convention="optax"), adagrad_inside),
    "rmsprop paper": (lambda lr: o.rmsprop(lr, B1, EPS), rmsprop_outside),
    "rmsprop torch": (lambda lr: o.rmsprop(lr, B1, EPS, convention="torch"), rmsprop_outside),
    "rmsprop keras": (lambda lr: o.rmsprop(lr, B1, EPS, convention="keras"), rmsprop_inside),
    "rmsprop optax": (lambda lr: o.rmsprop(lr, B1, EPS, convention="optax"), rmsprop_inside),
    "rmsprop paper all": (lambda lr: o.rmsprop(lr, B1, EPS, 0.7, True), rmsprop_centered_momentum_outside),
    "adam paper": (lambda lr: o.adam(lr, B1, B2, EPS), adam),
    "adam paper uncorrected": (lambda lr: o.adam(lr, B1, B2, EPS, bias_correction=False), adam_uncorrected),
    "adam keras": (lambda lr: o.adam(lr, B1, B2, EPS, convention="keras"), adam_eps_hat),
    "adamw paper uncorrected": (
        lambda lr: o.adamw(lr, B1, B2, EPS, WD, bias_correction=False),
        decayed(adam_uncorrected),
    ),
    "adamw keras": (lambda lr: o.adamw(lr, B1, B2, EPS, WD, convention="keras"), decayed(adam_eps_hat)),
    "amsgrad paper": (lambda lr: o.amsgrad(lr, B1, B2, EPS), amsgrad),
    "amsgrad torch": (lambda lr: o.amsgrad(lr, B1, B2, EPS, convention="torch"), amsgrad_torch),
    "amsgrad keras": (lambda lr: o.amsgrad(lr, B1, B2, EPS, convention="keras"), amsgrad_keras),
    "amsgrad optax": (lambda lr: o.amsgrad(lr, B1, B2, EPS, convention="optax"), amsgrad_optax),
    "nadam paper": (lambda lr: o.nadam(lr, B1, B2, EPS), nadam_paper),
    "nadam torch": (lambda lr: o.nadam(lr, B1, B2, EPS, convention="torch"), nadam_library(0.004)),
    "nadam torch decay": (lambda lr: o.nadam(lr, B1, B2, EPS, 0.1, convention="torch"), nadam_library(0.1)),
    "nadam keras": (lambda lr: o.nadam(lr, B1, B2, EPS, convention="keras"), nadam_library(1)),
    "nadam optax": (lambda lr: o.nadam(lr, B1, B2, EPS, convention="optax"), nadam_optax),
    "lion any": (lambda lr: o.lion(lr, B1, B2), lion),
    "lion any decay": (lambda lr: o.lion(lr, B1, B2, WD), decayed(lion)),
    "muon paper": (muon_of(), muon),
    "muon paper plain": (muon_of(nesterov=False, ns_steps=3), muon_plain),
    "muon torch": (muon_of(convention="torch"), muon_torch),
    "muon keras": (muon_of(convention="keras"), muon_keras),
    "muon keras decay": (muon_of(convention="keras", weight_decay=WD), decayed(muon_keras)),
    "muon optax": (muon_of(convention="optax"), muon_optax),
    "muon optax plain": (muon_of(convention="optax", nesterov=False), muon_optax_plain),
}
for _name in ("paper", "keras", "torch", "optax"):
    _with_rate = _name in ("paper", "keras")
    FORMULAS[f"sgd {_name} momentum"] = (
        lambda lr, c=_name: o.sgd(lr, B1, convention=c),
        momentum_with_rate if _with_rate else momentum_without_rate,
    )
    FORMULAS[f"sgd {_name} nesterov"] = (
        lambda lr, c=_name: o.sgd(lr, B1, True, convention=c),
        nesterov_with_rate if _with_rate else nesterov_without_rate,
    )
    FORMULAS[f"sgd {_name} nesterov decay"] = (
        lambda lr, c=_name: o.sgd(lr, B1, True, weight_decay=WD, convention=c),
        penalized(nesterov_with_rate if _with_rate else nesterov_without_rate),
    )
for _name, _formula in (
    ("keras", rmsprop_centered_momentum_inside),
    ("optax", rmsprop_centered_momentum_inside),
    ("torch", rmsprop_centered_momentum_torch),
):
    FORMULAS[f"rmsprop {_name} all"] = (lambda lr, c=_name: o.rmsprop(lr, B1, EPS, 0.7, True, convention=c), _formula)
for _name in ("paper", "torch", "optax"):
    FORMULAS[f"adam {_name}"] = (lambda lr, c=_name: o.adam(lr, B1, B2, EPS, convention=c), adam)
    FORMULAS[f"adam {_name} decay"] = (
        lambda lr, c=_name: o.adam(lr, B1, B2, EPS, weight_decay=WD, convention=c),
        penalized(adam),
    )
    FORMULAS[f"adamw {_name}"] = (lambda lr, c=_name: o.adamw(lr, B1, B2, EPS, WD, convention=c), decayed(adam))
