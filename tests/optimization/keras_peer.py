"""The optimizers of Keras on the problems of problems.py.

Run with ``KERAS_BACKEND`` set as ``python -m tests.optimization.keras_peer FILE``, it writes all trajectories to a
file, so that another process can compare them with this package's without loading that backend.
"""

import sys
from unittest import mock

import numpy as np

from course_lib.optimization import clipping, optimizers
from tests.optimization import problems

B1, B2, EPS = 0.8, 0.95, 1e-2
K = {"convention": "keras"}

# name: (the optimizer here, from a schedule; the optimizer of Keras, from keras.optimizers and a rate)
CASES = {
    "sgd": (lambda lr: optimizers.sgd(lr, **K), lambda o, lr: o.SGD(lr)),
    "sgd momentum": (lambda lr: optimizers.sgd(lr, B1, **K), lambda o, lr: o.SGD(lr, momentum=B1)),
    "sgd nesterov": (
        lambda lr: optimizers.sgd(lr, B1, True, **K),
        lambda o, lr: o.SGD(lr, momentum=B1, nesterov=True),
    ),
    "adagrad": (lambda lr: optimizers.adagrad(lr, EPS, **K), lambda o, lr: o.Adagrad(lr, epsilon=EPS)),
    "adagrad start": (
        lambda lr: optimizers.adagrad(lr, EPS, 0.5, **K),
        lambda o, lr: o.Adagrad(lr, initial_accumulator_value=0.5, epsilon=EPS),
    ),
    "adagrad default epsilon": (lambda lr: optimizers.adagrad(lr, **K), lambda o, lr: o.Adagrad(lr)),
    "rmsprop": (lambda lr: optimizers.rmsprop(lr, B1, EPS, **K), lambda o, lr: o.RMSprop(lr, rho=B1, epsilon=EPS)),
    "rmsprop momentum": (
        lambda lr: optimizers.rmsprop(lr, B1, EPS, 0.7, **K),
        lambda o, lr: o.RMSprop(lr, rho=B1, momentum=0.7, epsilon=EPS),
    ),
    "rmsprop centered": (
        lambda lr: optimizers.rmsprop(lr, B1, EPS, 0.7, True, **K),
        lambda o, lr: o.RMSprop(lr, rho=B1, momentum=0.7, epsilon=EPS, centered=True),
    ),
    "adadelta": (lambda lr: optimizers.adadelta(lr, B1, EPS), lambda o, lr: o.Adadelta(lr, rho=B1, epsilon=EPS)),
    "adam": (lambda lr: optimizers.adam(lr, B1, B2, EPS, **K), lambda o, lr: o.Adam(lr, B1, B2, EPS)),
    "adamw": (
        lambda lr: optimizers.adamw(lr, B1, B2, EPS, 0.1, **K),
        lambda o, lr: o.AdamW(lr, weight_decay=0.1, beta_1=B1, beta_2=B2, epsilon=EPS),
    ),
    "amsgrad": (
        lambda lr: optimizers.amsgrad(lr, B1, B2, EPS, **K),
        lambda o, lr: o.Adam(lr, B1, B2, EPS, amsgrad=True),
    ),
    "nadam": (lambda lr: optimizers.nadam(lr, B1, B2, EPS, **K), lambda o, lr: o.Nadam(lr, B1, B2, EPS)),
    "lion": (lambda lr: optimizers.lion(lr, B1, B2), lambda o, lr: o.Lion(lr, B1, B2)),
    "lion decay": (lambda lr: optimizers.lion(lr, B1, B2, 0.1), lambda o, lr: o.Lion(lr, B1, B2, weight_decay=0.1)),
    "muon": (
        lambda lr: optimizers.muon(lr, B1, True, 0.1, adam_learning_rate_ratio=0.5, beta1=0.7, beta2=B2, eps=EPS, **K),
        lambda o, lr: o.Muon(
            lr, 0.7, B2, 0.1, EPS, weight_decay=0.1, adam_lr_ratio=0.5, momentum=B1, nesterov=True, rms_rate=0.2
        ),
    ),
    "muon plain": (
        lambda lr: optimizers.muon(lr, B1, False, ns_steps=3, adam_learning_rate_ratio=0.5, beta2=B2, eps=EPS, **K),
        lambda o, lr: o.Muon(
            lr, 0.9, B2, None, EPS, None, adam_lr_ratio=0.5, momentum=B1, nesterov=False, ns_steps=3, rms_rate=0.2
        ),
    ),
    "clip value": (lambda lr: clipping.clipped(optimizers.sgd(lr), value=0.7), lambda o, lr: o.SGD(lr, clipvalue=0.7)),
    "clip norm": (lambda lr: clipping.clipped(optimizers.sgd(lr), norm=2.0), lambda o, lr: o.SGD(lr, clipnorm=2.0)),
    "clip global norm": (
        lambda lr: clipping.clipped(optimizers.sgd(lr), global_norm=5.0),
        lambda o, lr: o.SGD(lr, global_clipnorm=5.0),
    ),
}


def keras_trajectory(case, seed):
    """Run an optimizer of Keras in float64 on the backend of this process."""
    import keras

    floatx = keras.config.floatx()
    keras.config.set_floatx("float64")  # it decides the precision of the rate, not only that of new variables
    try:
        optimizer = CASES[case][1](keras.optimizers, problems.rate(0))
        start, noise = problems.problem(seed)
        variables = [keras.Variable(w, dtype="float64", name=f"w{i}") for i, w in enumerate(start)]
        rows = []
        for step in range(problems.STEPS):
            optimizer.learning_rate = problems.rate(step)
            now = [np.asarray(keras.ops.convert_to_numpy(v)) for v in variables]
            grads = [keras.ops.convert_to_tensor(g) for g in problems.gradients(noise[step], now)]
            optimizer.apply(grads, variables)
            rows.append(problems.flat([keras.ops.convert_to_numpy(v) for v in variables]))
    finally:
        keras.config.set_floatx(floatx)
    return np.array(rows)


def main(path):
    import keras
    from keras.src import ops

    def norm(x, axis=None, keepdims=False):
        return ops.sqrt(ops.sum(ops.square(x), axis=axis, keepdims=keepdims))

    cases = [case for case in CASES if not case.startswith("muon") or hasattr(keras.optimizers, "Muon")]
    # Keras' own norm of a matrix, which Muon uses, comes in float32 whatever it is given (seen in 3.15).
    with mock.patch.object(ops, "norm", norm):
        runs = {f"{case}/{seed}": keras_trajectory(case, seed) for case in cases for seed in problems.SEEDS}
    np.savez(path, **runs, backend=keras.backend.backend(), version=keras.version())


if __name__ == "__main__":
    main(sys.argv[1])
