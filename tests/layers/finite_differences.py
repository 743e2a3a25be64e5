"""Gradients of a layer by the backend that runs, and by finite differences, both in float64."""

import keras
import numpy as np


def numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(tensor))


def perturb(layer, seed=0, scale=0.3):
    """Move every weight away from its start: zero biases and unit scales hide mistakes."""
    rng = np.random.default_rng(seed)
    for weight in layer.weights:
        if str(weight.dtype).startswith("float"):
            weight.assign(numpy(weight) + scale * rng.normal(size=weight.shape))


def gradients(function, arrays, weights):
    """Differentiate ``sum(function(*arrays) * fixed numbers)`` by the backend, for each of arrays and weights."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        inputs = [tf.constant(a) for a in arrays]
        with tf.GradientTape() as tape:
            for tensor in inputs:
                tape.watch(tensor)
            value = weighted(function(*inputs))
        found = tape.gradient(value, [*inputs, *(w.value for w in weights)])
        return [np.asarray(tf.convert_to_tensor(g)) for g in found]
    if backend == "jax":
        import jax

        def of_all(inputs, values):
            with keras.StatelessScope(state_mapping=list(zip(weights, values, strict=True))):
                return weighted(function(*inputs))

        values = [w.value for w in weights]
        # Compiled as one: by itself, each of its many operations would be compiled on its own.
        inputs, inner = jax.jit(jax.grad(of_all, (0, 1)))([jax.numpy.asarray(a) for a in arrays], values)
        return [np.asarray(g) for g in (*inputs, *inner)]
    import torch

    inputs = [torch.tensor(a, requires_grad=True) for a in arrays]
    leaves = [*inputs, *(w.value for w in weights)]
    return [g.numpy() for g in torch.autograd.grad(weighted(function(*inputs)), leaves)]


def weighted(output):
    """Sum with weights that differ, so that no symmetry hides a mistake."""
    fixed = np.random.default_rng(99).normal(size=tuple(output.shape))
    return keras.ops.sum(output * keras.ops.convert_to_tensor(fixed, output.dtype))


def check_gradients(function, arrays, weights, places=6, step=1e-6, tolerance=1e-6):
    """Compare a few randomly chosen entries of every gradient with central differences."""
    found, rng = gradients(function, arrays, weights), np.random.default_rng(7)
    for number, gradient in enumerate(found):
        assert gradient.dtype == np.float64
        original = arrays[number] if number < len(arrays) else numpy(weights[number - len(arrays)]).copy()
        for place in rng.choice(original.size, min(places, original.size), replace=False):
            values = []
            for sign in (1, -1):
                moved = original.copy()
                moved.flat[place] += sign * step
                if number < len(arrays):
                    values.append(float(weighted(function(*arrays[:number], moved, *arrays[number + 1 :]))))
                else:
                    weight = weights[number - len(arrays)]
                    weight.assign(moved)
                    values.append(float(weighted(function(*arrays))))
                    weight.assign(original)
            wanted = (values[0] - values[1]) / (2 * step)
            assert abs(gradient.flat[place] - wanted) <= tolerance * max(1, abs(wanted)), (number, place)
