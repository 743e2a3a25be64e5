"""What chapter 06 defines against what course_lib ships."""

import numpy as np

import course_lib.autodiff as ad


def check_Traced(Traced, rng):
    """A small graph with broadcasting, a product and a node that is used twice: values and gradients."""
    names = Traced.__init__.__globals__  # the chapter's operations stand beside its class
    n, m, k = (int(size) for size in rng.integers(2, 6, size=3))
    arrays = [rng.normal(size=shape) for shape in ((n, m), (m, k), (k,), (1, k))]
    rows, labels = rng.integers(n, size=7), rng.integers(k, size=7)

    ours = [Traced(array) for array in arrays]
    hidden = names["traced_tanh"](names["traced_add"](names["traced_matmul"](ours[0], ours[1]), ours[2]))
    mixed = names["traced_multiply"](hidden, names["traced_add"](hidden, ours[3]))
    loss = names["traced_cross_entropy"](names["traced_pick"](mixed, rows), labels)
    loss.backward()

    theirs = [ad.Tensor(array, requires_grad=True) for array in arrays]
    hidden = ad.tanh(theirs[0] @ theirs[1] + theirs[2])
    expected = ad.softmax_cross_entropy(ad.take(hidden * (hidden + theirs[3]), rows), labels)
    expected.backward()
    np.testing.assert_allclose(loss.data, expected.data, rtol=1e-12)
    for mine, other in zip(ours, theirs, strict=True):
        assert mine.adjoint.shape == other.grad.shape
        np.testing.assert_allclose(mine.adjoint, other.grad, rtol=1e-10, atol=1e-13)
