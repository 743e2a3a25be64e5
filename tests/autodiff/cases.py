"""Every operation of the tape with random inputs, and the same operation in torch and in JAX.

`draw(rng)` gives arrays, to be differentiated, and options. Numbers that a corner or a tie would spoil are kept apart.
A peer of None: that library has no such operation, or another convention, which the entry names.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from course_lib import autodiff as ad


@dataclass(frozen=True)
class Case:
    ours: Any  # (*tensors, **options) -> Tensor
    draw: Any  # rng -> (arrays, options)
    torch: Any = None  # (torch, *tensors, **options) -> tensor
    jax: Any = None  # (jax, *arrays, **options) -> array


# --- Random inputs ----------------------------------------------------------------------------------------------------


def shape(rng, least=0, most=3):
    return tuple(rng.integers(1, 5, rng.integers(least, most + 1)).tolist())


def broadcasting(rng, count):
    """Shapes that broadcast: of a common one, leading axes are left out and others are 1."""
    common = shape(rng)
    return [
        tuple(n if rng.random() < 0.7 else 1 for n in common[rng.integers(len(common) + 1) :]) for _ in range(count)
    ]


def normal(rng, *shape_):
    return rng.standard_normal(shape_)


def apart(rng, shape_, offset=0.03):
    """Numbers on both sides of 0, none near it, and no two near each other."""
    n = int(np.prod(shape_))
    return ((rng.permutation(n) - n // 2) * 0.1 + offset).reshape(shape_)


def above(rng, shape_):
    return rng.uniform(0.2, 2.0, shape_)


def an_axis(rng, ndim, several=True):
    """None, an axis from either end, or several."""
    kinds = ["none", "one", "several"] if several and ndim else ["none", "one"] if ndim else ["none"]
    kind = rng.choice(kinds)
    if kind == "none":
        return None
    axes = (rng.permutation(ndim)[: rng.integers(1, ndim + 1)] - rng.choice([0, ndim])).tolist()
    return int(axes[0]) if kind == "one" else tuple(axes)


def one(values, least=0, most=3):
    return lambda rng: ([values(rng, shape(rng, least, most))], {})


def two(first, second):
    def draw(rng):
        a, b = broadcasting(rng, 2)
        return [first(rng, a), second(rng, b)], {}

    return draw


def free(rng, shape_):
    return rng.standard_normal(shape_)


def reduction(values):
    def draw(rng):
        x = values(rng, shape(rng, 1))
        return [x], {"axis": an_axis(rng, x.ndim), "keepdims": bool(rng.integers(2))}

    return draw


def along(values, least=1):
    def draw(rng):
        x = values(rng, shape(rng, least))
        return [x], {"axis": int(rng.integers(-x.ndim, x.ndim))}

    return draw


def factors(rng):
    """Matrices, vectors, and batches that broadcast."""
    m, k, n = rng.integers(1, 5, 3).tolist()
    a, b = broadcasting(rng, 2)
    left = (k,) if rng.random() < 0.2 else (*a, m, k)
    right = (k,) if rng.random() < 0.2 else (*b, k, n) if rng.random() < 0.6 else (k, n)
    return [normal(rng, *left), normal(rng, *right)], {}


def reshaping(rng):
    x = free(rng, shape(rng))
    return [x], {"shape": (x.size,) if rng.random() < 0.5 else (-1, *x.shape[:1])}


def permutation(rng):
    x = free(rng, shape(rng))
    return [x], {"axes": None if rng.random() < 0.3 else (rng.permutation(x.ndim) - rng.choice([0, x.ndim])).tolist()}


def stretching(rng):
    small = broadcasting(rng, 1)[0]
    big = (*shape(rng, 0, 2), *(n if n > 1 else int(rng.integers(1, 4)) for n in small))
    return [free(rng, small)], {"shape": big}


def joining(rng):
    base = list(shape(rng, 1))
    axis = int(rng.integers(-len(base), len(base)))
    shapes = [base.copy() for _ in range(rng.integers(1, 4))]
    for s in shapes:
        s[axis] = int(rng.integers(1, 4))
    return [free(rng, s) for s in shapes], {"axis": axis}


def stacking(rng):
    s = shape(rng)
    return [free(rng, s) for _ in range(rng.integers(1, 4))], {"axis": int(rng.integers(-len(s) - 1, len(s) + 1))}


def indexing(rng):
    x = free(rng, (4, 3, 5))
    indices = [
        2, (slice(None), 1), (slice(1, 4), None, ..., slice(0, 5, 2)), (..., -1), slice(None, 0), ([0, 0, 3],),
        ([[0, 1], [1, 1]], slice(None), [[4, 4], [0, 4]]), (1, [2, 2, 0]), x[:, :, 0] > 0,
        (slice(None), [True, False, True]), np.array([3, -1, -1]),
    ]  # fmt: skip
    return [x], {"index": indices[rng.integers(len(indices))]}


def gathering(rng):
    x = free(rng, shape(rng, 1))
    axis = int(rng.integers(-x.ndim, x.ndim))
    n = x.shape[axis]
    return [x], {"indices": rng.integers(-n, n, shape(rng, 0, 2)), "axis": axis}


def picking(rng):
    x = free(rng, shape(rng, 1))
    axis = int(rng.integers(-x.ndim, x.ndim))
    wanted = list(x.shape)
    wanted[axis] = int(rng.integers(1, 5))
    return [x], {"indices": rng.integers(0, x.shape[axis], wanted), "axis": axis}


def choosing(rng):
    c, a, b = broadcasting(rng, 3)
    return [free(rng, a), free(rng, b)], {"condition": rng.random(c) < 0.5}


def classes(rng):
    x = free(rng, shape(rng, 1))
    reduction = str(rng.choice(["mean", "sum", "none"]))
    return [x], {"labels": rng.integers(0, x.shape[-1], x.shape[:-1]), "reduction": reduction}


def soft_classes(rng):
    x = free(rng, shape(rng, 1))
    labels = rng.random(x.shape)
    return [x], {
        "labels": labels / labels.sum(-1, keepdims=True),
        "reduction": str(rng.choice(["mean", "sum", "none"])),
    }


def normalizing(rng):
    x = free(rng, (*shape(rng, 1, 2), 4))
    return [x, above(rng, 4), free(rng, 4)], {}


def batch_normalizing(rng):
    x = free(rng, (4, *shape(rng, 0, 2), int(rng.integers(1, 4))))
    return [x, above(rng, x.shape[-1]), free(rng, x.shape[-1])], {}


def images(rng, values):
    return values(rng, (int(rng.integers(1, 3)), *rng.integers(3, 8, 2).tolist(), int(rng.integers(1, 4))))


def convolving(rng):
    x = images(rng, free)
    size = rng.integers(1, 4, 2).tolist()
    kernel = free(rng, (*size, x.shape[3], int(rng.integers(1, 4))))
    stride = tuple(rng.integers(1, 4, 2).tolist())
    return [x, kernel], {"stride": stride, "padding": str(rng.choice(["valid", "same"]))}


def pooling(rng):
    x = images(rng, apart)
    size, stride = (tuple(rng.integers(1, 4, 2).tolist()) for _ in range(2))
    return [x], {"size": size, "stride": stride, "padding": str(rng.choice(["valid", "same"]))}


# --- Peers that need more than a word ---------------------------------------------------------------------------------


def torch_same(torch, x, size, stride, padding, value):
    """TensorFlow's padding, in (batch, channels, height, width)."""
    x = x.permute(0, 3, 1, 2)
    if padding == "same":
        missing = [max((-(-n // s) - 1) * s + k - n, 0) for n, k, s in zip(x.shape[2:], size, stride, strict=True)]
        (down, right) = missing
        edges = (right // 2, right - right // 2, down // 2, down - down // 2)
        x = torch.nn.functional.pad(x, edges, value=value)
    return x


def torch_conv(torch, x, w, stride, padding):
    x = torch_same(torch, x, w.shape[:2], stride, padding, 0.0)
    return torch.nn.functional.conv2d(x, w.permute(3, 2, 0, 1).contiguous(), stride=stride).permute(0, 2, 3, 1)


def torch_max_pool(torch, x, size, stride, padding):
    x = torch_same(torch, x, size, stride, padding, -torch.inf)
    return torch.nn.functional.max_pool2d(x, size, stride).permute(0, 2, 3, 1)


def torch_average_pool(torch, x, size, stride, padding):
    ones = torch.ones_like(x)
    pool = torch.nn.functional.avg_pool2d
    total, count = (pool(torch_same(torch, part, size, stride, padding, 0.0), size, stride) for part in (x, ones))
    return (total / count).permute(0, 2, 3, 1)


def jax_conv(jax, x, w, stride, padding):
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, w, stride, padding.upper(), dimension_numbers=layout)


def jax_max_pool(jax, x, size, stride, padding):
    window = (1, *size, 1), (1, *stride, 1), padding.upper()
    return jax.lax.reduce_window(x, -np.inf, jax.lax.max, *window)


def jax_average_pool(jax, x, size, stride, padding):
    window = (1, *size, 1), (1, *stride, 1), padding.upper()
    total, count = (jax.lax.reduce_window(part, 0.0, jax.lax.add, *window) for part in (x, jax.numpy.ones_like(x)))
    return total / count


def torch_all(x, axis):
    return tuple(range(x.ndim)) if axis is None else axis


def torch_index(torch, index):
    """torch takes no NumPy arrays beside slices, and no lists inside lists."""
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(torch.as_tensor(np.asarray(p)) if isinstance(p, (list, np.ndarray)) else p for p in parts)


def jax_index(index):
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(np.asarray(p) if isinstance(p, list) else p for p in parts)


def torch_entropy(torch, x, labels, reduction):
    # torch has the classes on the second axis; with all examples on the first, the shapes are back for "none".
    flat = x.reshape(-1, x.shape[-1])
    target = torch.as_tensor(labels)
    target = target.reshape(flat.shape) if target.is_floating_point() else target.reshape(-1)
    loss = torch.nn.functional.cross_entropy(flat, target, reduction=reduction)
    return loss.reshape(x.shape[:-1]) if reduction == "none" else loss


def jax_entropy(jax, x, labels, reduction):
    logs = jax.nn.log_softmax(x)
    if labels.dtype.kind == "f":
        losses = -(labels * logs).sum(-1)
    else:
        losses = -jax.numpy.take_along_axis(logs, labels[..., None], -1)[..., 0]
    return losses if reduction == "none" else getattr(losses, reduction)()


def torch_batch_norm(torch, x, scale, shift):
    flat = x.reshape(-1, x.shape[-1])
    return torch.nn.functional.batch_norm(flat, None, None, scale, shift, training=True, eps=1e-5).reshape(x.shape)


def jax_standardize(jax, x, axes, eps=1e-5):
    return (x - x.mean(axes, keepdims=True)) / jax.numpy.sqrt(x.var(axes, keepdims=True) + eps)


def torch_standardize(torch, x, axis):
    axes = torch_all(x, axis)
    return (x - x.mean(axes, keepdim=True)) / torch.sqrt(x.var(axes, keepdim=True, correction=0) + 1e-5)


# --- The cases --------------------------------------------------------------------------------------------------------

CASES = {
    "add": Case(ad.add, two(free, free), lambda t, a, b: a + b, lambda j, a, b: a + b),
    "subtract": Case(ad.subtract, two(free, free), lambda t, a, b: a - b, lambda j, a, b: a - b),
    "multiply": Case(ad.multiply, two(free, free), lambda t, a, b: a * b, lambda j, a, b: a * b),
    "divide": Case(ad.divide, two(free, above), lambda t, a, b: a / b, lambda j, a, b: a / b),
    "power": Case(ad.power, two(above, free), lambda t, a, b: a**b, lambda j, a, b: a**b),
    "square": Case(lambda a: a**2, one(free), lambda t, a: a**2, lambda j, a: a**2),
    "negative": Case(ad.negative, one(free), lambda t, a: -a, lambda j, a: -a),
    "exp": Case(ad.exp, one(free), lambda t, a: a.exp(), lambda j, a: j.numpy.exp(a)),
    "log": Case(ad.log, one(above), lambda t, a: a.log(), lambda j, a: j.numpy.log(a)),
    "sqrt": Case(ad.sqrt, one(above), lambda t, a: a.sqrt(), lambda j, a: j.numpy.sqrt(a)),
    "absolute": Case(ad.absolute, one(apart), lambda t, a: a.abs(), lambda j, a: abs(a)),
    "tanh": Case(ad.tanh, one(free), lambda t, a: a.tanh(), lambda j, a: j.numpy.tanh(a)),
    "sigmoid": Case(ad.sigmoid, one(free), lambda t, a: a.sigmoid(), lambda j, a: j.nn.sigmoid(a)),
    "relu": Case(ad.relu, one(apart), lambda t, a: a.relu(), lambda j, a: j.nn.relu(a)),
    "gelu": Case(
        ad.gelu, one(free), lambda t, a: t.nn.functional.gelu(a), lambda j, a: j.nn.gelu(a, approximate=False)
    ),
    "clip": Case(
        lambda a: ad.clip(a, -0.5, 0.7),
        one(apart),
        lambda t, a: a.clamp(-0.5, 0.7),
        lambda j, a: j.numpy.clip(a, -0.5, 0.7),
    ),
    "maximum": Case(
        ad.maximum,
        two(apart, lambda rng, s: apart(rng, s, 0.08)),
        lambda t, a, b: t.maximum(a, b),
        lambda j, a, b: j.numpy.maximum(a, b),
    ),
    "minimum": Case(
        ad.minimum,
        two(apart, lambda rng, s: apart(rng, s, 0.08)),
        lambda t, a, b: t.minimum(a, b),
        lambda j, a, b: j.numpy.minimum(a, b),
    ),
    "where": Case(
        lambda a, b, condition: ad.where(condition, a, b),
        choosing,
        lambda t, a, b, condition: t.where(t.as_tensor(condition), a, b),
        lambda j, a, b, condition: j.numpy.where(condition, a, b),
    ),
    "matmul": Case(ad.matmul, factors, lambda t, a, b: a @ b, lambda j, a, b: a @ b),
    "sum": Case(
        ad.sum,
        reduction(free),
        lambda t, a, axis, keepdims: a.sum(torch_all(a, axis), keepdim=keepdims),
        lambda j, a, axis, keepdims: a.sum(axis, keepdims=keepdims),
    ),
    "mean": Case(
        ad.mean,
        reduction(free),
        lambda t, a, axis, keepdims: a.mean(torch_all(a, axis), keepdim=keepdims),
        lambda j, a, axis, keepdims: a.mean(axis, keepdims=keepdims),
    ),
    "variance": Case(
        ad.variance,
        reduction(free),
        lambda t, a, axis, keepdims: a.var(torch_all(a, axis), correction=0, keepdim=keepdims),
        lambda j, a, axis, keepdims: a.var(axis, keepdims=keepdims),
    ),
    "max": Case(
        ad.max,
        reduction(apart),
        lambda t, a, axis, keepdims: a.amax(torch_all(a, axis), keepdim=keepdims),
        lambda j, a, axis, keepdims: a.max(axis, keepdims=keepdims),
    ),
    "min": Case(
        ad.min,
        reduction(apart),
        lambda t, a, axis, keepdims: a.amin(torch_all(a, axis), keepdim=keepdims),
        lambda j, a, axis, keepdims: a.min(axis, keepdims=keepdims),
    ),
    "reshape": Case(ad.reshape, reshaping, lambda t, a, shape: a.reshape(shape), lambda j, a, shape: a.reshape(shape)),
    "transpose": Case(
        ad.transpose,
        permutation,
        lambda t, a, axes: a.permute(tuple(range(a.ndim))[::-1] if axes is None else axes),
        lambda j, a, axes: a.transpose(axes),
    ),
    "broadcast_to": Case(
        ad.broadcast_to,
        stretching,
        lambda t, a, shape: a.broadcast_to(shape),
        lambda j, a, shape: j.numpy.broadcast_to(a, shape),
    ),
    "concatenate": Case(
        lambda *parts, axis: ad.concatenate(parts, axis),
        joining,
        lambda t, *parts, axis: t.cat(parts, axis),
        lambda j, *parts, axis: j.numpy.concatenate(parts, axis),
    ),
    "stack": Case(
        lambda *parts, axis: ad.stack(parts, axis),
        stacking,
        lambda t, *parts, axis: t.stack(parts, axis),
        lambda j, *parts, axis: j.numpy.stack(parts, axis),
    ),
    "getitem": Case(
        ad.getitem,
        indexing,
        lambda t, a, index: a[torch_index(t, index)],
        lambda j, a, index: a[jax_index(index)],
    ),
    "take": Case(
        ad.take,
        gathering,
        lambda t, a, indices, axis: a[(slice(None),) * (axis % a.ndim) + (t.as_tensor(indices),)],
        lambda j, a, indices, axis: j.numpy.take(a, indices, axis),
    ),
    "take_along_axis": Case(
        ad.take_along_axis,
        picking,
        lambda t, a, indices, axis: t.gather(a, axis, t.as_tensor(indices)),
        lambda j, a, indices, axis: j.numpy.take_along_axis(a, indices, axis),
    ),
    "softmax": Case(
        ad.softmax, along(free), lambda t, a, axis: a.softmax(axis), lambda j, a, axis: j.nn.softmax(a, axis)
    ),
    "log_softmax": Case(
        ad.log_softmax,
        along(free),
        lambda t, a, axis: a.log_softmax(axis),
        lambda j, a, axis: j.nn.log_softmax(a, axis),
    ),
    "logsumexp": Case(
        ad.logsumexp,
        reduction(free),
        lambda t, a, axis, keepdims: a.logsumexp(torch_all(a, axis), keepdim=keepdims),
        lambda j, a, axis, keepdims: j.nn.logsumexp(a, axis, keepdims=keepdims),
    ),
    "standardize": Case(
        ad.standardize,
        lambda rng: ([x := free(rng, (*shape(rng, 0, 2), 4))], {"axis": an_axis(rng, x.ndim)}),
        torch_standardize,
        lambda j, a, axis: jax_standardize(j, a, axis),
    ),
    "layer_norm": Case(
        ad.layer_norm,
        normalizing,
        lambda t, a, s, b: t.nn.functional.layer_norm(a, a.shape[-1:], s, b, eps=1e-5),
        lambda j, a, s, b: jax_standardize(j, a, -1) * s + b,
    ),
    "batch_norm": Case(
        ad.batch_norm,
        batch_normalizing,
        torch_batch_norm,
        lambda j, a, s, b: jax_standardize(j, a, tuple(range(a.ndim - 1))) * s + b,
    ),
    "mean_squared_error": Case(
        ad.mean_squared_error,
        lambda rng: ([free(rng, s := shape(rng)), free(rng, s)], {}),
        lambda t, a, b: t.nn.functional.mse_loss(a, b),
        lambda j, a, b: ((a - b) ** 2).mean(),
    ),
    "softmax_cross_entropy": Case(ad.softmax_cross_entropy, classes, torch_entropy, jax_entropy),
    "softmax_cross_entropy soft": Case(ad.softmax_cross_entropy, soft_classes, torch_entropy, jax_entropy),
    "conv2d": Case(ad.conv2d, convolving, torch_conv, jax_conv),
    "max_pool2d": Case(ad.max_pool2d, pooling, torch_max_pool, jax_max_pool),
    "average_pool2d": Case(ad.average_pool2d, pooling, torch_average_pool, jax_average_pool),
    # Draws of its own, repeated because the generator is made anew each time. No peer draws the same.
    "dropout": Case(lambda a: ad.dropout(a, 0.4, np.random.default_rng(3)), one(free)),
}
