"""Random problems on which the optimizers here and elsewhere make the same 50 steps."""

import numpy as np

STEPS = 50
# Keras takes the root of a matrix's larger side in float32, which is exact for 4 and 9.
SHAPES = ((), (5,), (4, 3), (4, 9))
SEEDS = (0, 1)


def problem(seed, shapes=SHAPES):
    """Give the start of every parameter and, for every step, a random part of its gradient."""
    random = np.random.default_rng(seed)
    start = [np.asarray(random.normal(size=shape)) for shape in shapes]
    noise = [[np.asarray(random.normal(size=shape)) for shape in shapes] for _ in range(STEPS)]
    return start, noise


def gradients(noise, params):
    """Give the gradients of one step; they depend on the parameters, so that an error in a step feeds on itself."""
    return [n + 0.3 * p for n, p in zip(noise, params, strict=True)]


def rate(step, first=0.03):
    """Change the rate half-way, which a momentum that contains the rate feels and another does not."""
    return first if step < STEPS // 2 else 0.3 * first


def flat(params):
    return np.concatenate([np.ravel(p) for p in params])


def trajectory(optimizer, seed, shapes=SHAPES):
    """Run an optimizer of the package; the result has shape (STEPS, number of parameters)."""
    params, noise = problem(seed, shapes)
    state = optimizer.init(params)
    rows = []
    for step in range(STEPS):
        state = optimizer.update_in_place(params, gradients(noise[step], params), state)
        rows.append(flat(params))
    return np.array(rows)


def difference(ours, theirs):
    """Give the largest difference on the way, relative to the largest parameter."""
    assert ours.shape == theirs.shape
    assert np.isfinite(theirs).all()
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())
