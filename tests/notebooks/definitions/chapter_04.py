"""The update rules that chapter 04 writes out, against the package."""

import numpy as np

from course_lib.optimization import optimizers

STEPS = 25


def same_steps(step, optimizer, rng, shape=(5, 3), **options):
    """Feed both the same gradients, of three scales, and compare the points after every step."""
    ours = theirs = rng.normal(size=shape)
    state, package_state = None, optimizer.init(theirs)
    for t in range(STEPS):
        g = rng.normal(size=shape) * np.resize([0.01, 1.0, 100.0], shape)
        ours, state = step(ours, g, state, **options)
        updates, package_state = optimizer.update(g, package_state, theirs)
        theirs = optimizers.apply_updates(theirs, updates)
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11, err_msg=f"{step.__name__}, step {t + 1}")


def check_plain_step(notebook, rng):
    same_steps(notebook, optimizers.sgd(0.03), rng, rate=0.03)


def check_momentum_step(notebook, rng):
    same_steps(notebook, optimizers.sgd(0.03, 0.8), rng, rate=0.03, beta=0.8)


def check_nesterov_step(notebook, rng):
    same_steps(notebook, optimizers.sgd(0.03, 0.8, nesterov=True), rng, rate=0.03, beta=0.8)


def check_adagrad_step(notebook, rng):
    same_steps(notebook, optimizers.adagrad(0.03), rng, rate=0.03)
    same_steps(notebook, optimizers.adagrad(0.03, 0.05), rng, rate=0.03, eps=0.05)


def check_rmsprop_step(notebook, rng):
    same_steps(notebook, optimizers.rmsprop(0.03), rng, rate=0.03)
    same_steps(notebook, optimizers.rmsprop(0.03, 0.7, 0.05), rng, rate=0.03, rho=0.7, eps=0.05)


def check_adadelta_step(notebook, rng):
    same_steps(notebook, optimizers.adadelta(), rng)
    same_steps(notebook, optimizers.adadelta(0.5, 0.7, 0.05), rng, rate=0.5, rho=0.7, eps=0.05)


def check_adam_step(notebook, rng):
    same_steps(notebook, optimizers.adam(), rng)
    options = {"beta1": 0.7, "beta2": 0.9, "eps": 0.05}
    same_steps(notebook, optimizers.adam(0.03, **options), rng, rate=0.03, **options)
    uncorrected = optimizers.adam(0.03, **options, bias_correction=False)
    same_steps(notebook, uncorrected, rng, rate=0.03, correct=False, **options)


def check_amsgrad_step(notebook, rng):
    same_steps(notebook, optimizers.amsgrad(), rng)
    options = {"beta1": 0.7, "beta2": 0.5, "eps": 0.05}
    same_steps(notebook, optimizers.amsgrad(0.03, **options), rng, rate=0.03, **options)


def check_adamw_step(notebook, rng):
    same_steps(notebook, optimizers.adamw(), rng)
    options = {"beta1": 0.7, "beta2": 0.9, "eps": 0.05, "weight_decay": 0.2}
    same_steps(notebook, optimizers.adamw(0.03, **options), rng, rate=0.03, **options)


def check_nadam_step(notebook, rng):
    same_steps(notebook, optimizers.nadam(), rng)
    options = {"beta1": 0.7, "beta2": 0.9, "eps": 0.05}
    same_steps(notebook, optimizers.nadam(0.03, **options), rng, rate=0.03, **options)


def check_lion_step(notebook, rng):
    same_steps(notebook, optimizers.lion(), rng)
    same_steps(notebook, optimizers.lion(0.03, 0.7, 0.8), rng, rate=0.03, beta1=0.7, beta2=0.8)


def check_muon_step(notebook, rng):
    for shape in ((5, 3), (3, 5), (4, 4)):
        same_steps(notebook, optimizers.muon(), rng, shape)
        same_steps(notebook, optimizers.muon(0.03, 0.8), rng, shape, rate=0.03, beta=0.8)


def check_orthogonalize(notebook, rng):
    for shape in ((6, 4), (4, 6)):
        for steps in (1, 5):
            matrix = rng.normal(size=shape)
            np.testing.assert_allclose(notebook(matrix, steps), optimizers.orthogonalize(matrix, steps), atol=1e-10)
