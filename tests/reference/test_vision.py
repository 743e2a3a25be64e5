"""Image networks on the three backends: blocks against torch's kernels, whole networks against keras.applications.

Each backend runs in a process of its own, which is this file as a script; torch, in the process of the tests, computes
the same with the same weights. ``python tests/reference/test_vision.py RESULTS`` runs what KERAS_BACKEND names.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference

BACKENDS = ("tensorflow", "jax", "torch")
BLOCKS = ("basic", "plain", "bottleneck", "inception", "lrn")
SHAPE = (4, 9, 8, 4)
KERAS = {"ResNet50": (33, 40, 3), "VGG16": (32, 32, 3), "InceptionV3": (75, 107, 3)}
ON_JAX = ("ResNet50",)  # JAX compiles every operation for every shape: the others would take it another minute
STEP = 1e-6


# --- In the process of a backend -------------------------------------------------------------------------------------


def worker(results):
    import keras

    from course_lib.layers import convolution
    from course_lib.layers.convolution import Conv, Pool
    from course_lib.models.resnet import ResNetConfig, resnet
    from course_lib.models.vgg import VGGConfig, vgg
    from tests.models.networks import perturb, precision, values

    branches = [[Conv(3)], [Conv(2), Conv(3, (1, 3)), Conv(4, (3, 1))], [Pool("average"), Conv(2)], [Pool("max")]]
    blocks = {
        "basic": lambda x: convolution.basic_block(x, 6, 2),
        "plain": lambda x: convolution.basic_block(x, 4, 2, None),
        "bottleneck": lambda x: convolution.bottleneck_block(x, 3, 2),
        "inception": lambda x: convolution.inception_block(x, branches),
        "lrn": lambda x: convolution.LocalResponseNormalization(5, 0.5, 0.75, 2.0)(x),
    }
    found = {"backend": np.array(keras.backend.backend())}
    rng = np.random.default_rng(0)
    images = rng.standard_normal(SHAPE)

    for name, block in blocks.items():
        for policy in ("float32", "float64"):
            with precision(policy):
                x = keras.Input(SHAPE[1:], name="images")
                model = perturb(keras.Model(x, block(x)))
            if policy == "float32":
                found |= {f"{name}/weights/{w.path}": values(w).copy() for w in model.weights}
                found[f"{name}/inference"] = values(model(images, training=False))
                found[f"{name}/training"] = values(model(images, training=True))
                found |= {f"{name}/moved/{w.path}": values(w).copy() for w in model.non_trainable_weights}
            else:
                found[f"{name}/slopes"] = slopes(model, images, rng)

    residual = ResNetConfig((1, 1), (4, 8), projection="zeros", classes=3, image=(16, 12, 2))
    small = {
        "resnet": lambda: resnet(residual),
        "vgg": lambda: vgg(VGGConfig((1, 1), (4, 6), (8,), 3, (8, 9, 2), normalize=True)),
        "inception": lambda: chain(blocks["lrn"], blocks["inception"]),
    }

    def chain(*layers):
        x = start = keras.Input((6, 5, 4))
        for layer in layers:
            x = layer(x)
        return keras.Model(start, x)

    for name, build in small.items():
        model = perturb(build())
        x = rng.standard_normal((5, *model.input_shape[1:])).astype("float32")
        order = [3, 0, 4, 2, 1]
        path = Path(results).with_suffix(f".{name}.keras")
        model.save(path)
        found[f"{name}/small"] = values(model(x))
        found[f"{name}/loaded"] = values(keras.models.load_model(path)(x))
        found[f"{name}/permuted"] = values(model(x[order]))[np.argsort(order)]
        with precision("mixed_bfloat16"):
            mixed = build()
        mixed.set_weights(model.get_weights())
        found[f"{name}/mixed"] = values(keras.ops.cast(mixed(x), "float32"))

    for name, shape in KERAS.items():
        if keras.backend.backend() == "jax" and name not in ON_JAX:
            continue
        theirs, ours = published(name, shape, keras)
        x = rng.standard_normal((1, *shape)).astype("float32")
        found[f"{name}/theirs"], found[f"{name}/ours"] = values(theirs(x)), values(ours(x))
    np.savez(results, **found)


def published(name, shape, keras):
    """Build Keras' network without its head, and ours with its weights."""
    from dataclasses import replace

    from course_lib.models import inception, pretrained, resnet, vgg
    from tests.models.networks import perturb

    theirs = perturb(getattr(keras.applications, name)(include_top=False, weights=None, input_shape=shape))
    module, preset, build = {
        "ResNet50": (resnet, "resnet50", resnet.resnet),
        "VGG16": (vgg, "vgg16", vgg.vgg),
        "InceptionV3": (inception, "inception_v3", inception.inception),
    }[name]
    ours = build(replace(module.PRESETS[preset], classes=None, image=shape))
    pretrained.copy_weights(theirs, ours)
    return theirs, ours


def slopes(model, images, rng):
    """Give, for the input and each weight, the slope along a random direction: by gradient and by differences."""
    import keras

    from tests.models.networks import values

    weigh = rng.standard_normal(model(images[:1]).shape[1:])
    start = [images, *(values(w).copy() for w in model.trainable_variables)]
    rest = [values(w).copy() for w in model.non_trainable_variables]
    loss, gradients = differentiable(model, weigh, rest)
    rows = []
    differences = keras.backend.backend() == "tensorflow"
    for i, gradient in enumerate(gradients(start)):
        direction = rng.standard_normal(start[i].shape)
        ends = [np.nan, np.nan]
        if differences:
            ends = [
                loss([a + sign * STEP * direction if j == i else a for j, a in enumerate(start)]) for sign in (1, -1)
            ]
        rows.append(((gradient * direction).sum(), (ends[0] - ends[1]) / (2 * STEP), np.abs(gradient).max()))
    return np.array(rows)


def differentiable(model, weigh, rest):
    """Make the loss and its gradients as functions of input and weights, on any backend, in training mode."""
    import keras

    def total(arrays):
        y, _ = model.stateless_call(arrays[1:], rest, arrays[0], training=True)
        return keras.ops.sum(keras.ops.multiply(y, weigh))

    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        both = jax.jit(jax.value_and_grad(total))  # one function, because compiling takes most of the time
        return lambda arrays: float(both(arrays)[0]), lambda arrays: [np.asarray(g) for g in both(arrays)[1]]

    def gradients(arrays):
        if backend == "torch":
            import torch

            tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
            return [g.numpy() for g in torch.autograd.grad(total(tensors), tensors)]
        import tensorflow as tf

        tensors = [tf.constant(a) for a in arrays]
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            y = total(tensors)
        return [np.asarray(g) for g in tape.gradient(y, tensors)]

    return lambda arrays: float(total([keras.ops.convert_to_tensor(a) for a in arrays])), gradients


# --- In the process of the tests -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=BACKENDS)
def result(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "results.npz"
    run_child(__file__, path, backend=request.param, JAX_ENABLE_X64="1")
    found = arrays(path)
    assert str(found["backend"]) == request.param
    return found


class Torch:
    """The blocks' steps by torch's kernels, channels first, with the weights that a backend used."""

    def __init__(self, result, block, training):
        import torch

        prefix = f"{block}/weights/"
        self.w = {
            name.removeprefix(prefix): torch.tensor(array) for name, array in result.items() if name.startswith(prefix)
        }
        self.training = training

    def conv_norm(self, x, name, stride=1, padding=0, activate=True):
        from torch.nn import functional as F

        x = F.conv2d(x, self.w[f"{name}_conv/kernel"].permute(3, 2, 0, 1), None, stride, padding)
        mean, variance = (self.w[f"{name}_norm/moving_{kind}"] for kind in ("mean", "variance"))
        scale, shift = (self.w[f"{name}_norm/{kind}"] for kind in ("gamma", "beta"))
        x = F.batch_norm(x, mean, variance, scale, shift, self.training, 0.1, 1e-5)
        return F.relu(x) if activate else x

    def __call__(self, block, x):
        import torch
        from torch.nn import functional as F

        c = self.conv_norm
        if block == "lrn":
            return torch.nn.LocalResponseNorm(5, 0.5, 0.75, 2.0)(x)
        if block == "inception":
            b = c(c(c(x, "mixed_b1"), "mixed_b2", 1, (0, 1)), "mixed_b3", 1, (1, 0))
            pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
            return torch.cat([c(x, "mixed_a1"), b, c(pooled, "mixed_c2"), F.max_pool2d(x, 3, 1, 1)], 1)
        if block == "bottleneck":
            y = c(c(c(x, "block_1", 2), "block_2", 1, 1), "block_3", activate=False)
        else:
            y = c(c(x, "block_1", 2, 1), "block_2", 1, 1, activate=False)
        return F.relu(y if block == "plain" else y + c(x, "block_shortcut", 2, activate=False))


FIRST = {}  # the results of TensorFlow, which comes first, for the other backends


def close(found, expected, tolerance):
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 1e-3
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"relative difference {error:.2e}, allowed {tolerance:.0e}"


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("block", BLOCKS)
def test_blocks_are_those_of_torch(result, block, training):
    import torch

    peer = Torch(result, block, training)
    x = torch.tensor(np.random.default_rng(0).standard_normal(SHAPE), dtype=torch.float32).permute(0, 3, 1, 2)
    expected = peer(block, x).permute(0, 2, 3, 1).numpy()
    close(result[f"{block}/training" if training else f"{block}/inference"], expected, 5e-6)
    if training:  # torch's batch_norm has moved its statistics, as Keras' has
        for path in (name for name in result if name.startswith(f"{block}/moved/") and name.endswith("mean")):
            close(result[path], peer.w[path.removeprefix(f"{block}/moved/")].numpy(), 5e-6)


def test_moving_variances_differ_from_torch_by_its_correction(result):
    """Keras keeps the variance over n places, torch that over n - 1: a known difference of the two, not of ours."""
    import torch

    peer = Torch(result, "basic", True)
    x = torch.tensor(np.random.default_rng(0).standard_normal(SHAPE), dtype=torch.float32).permute(0, 3, 1, 2)
    peer("basic", x)
    n = 4 * 5 * 4
    path = "block_1_norm/moving_variance"
    before, ours, theirs = result[f"basic/weights/{path}"], result[f"basic/moved/{path}"], peer.w[path].numpy()
    close((ours - 0.9 * before) * n / (n - 1), theirs - 0.9 * before, 5e-5)


@pytest.mark.parametrize("block", BLOCKS)
def test_gradients_equal_finite_differences(result, block):
    """For input and weights, with the gradient through the batch's own statistics.

    Where not all is float64 differences say nothing, and on JAX and PyTorch Keras' batch normalisation computes in
    float32 whatever the policy. So the gradients there are compared with TensorFlow's, which equal the differences.
    """
    by_gradient, by_difference, largest = result[f"{block}/slopes"].T
    assert largest.max() > 0.1
    if result["backend"] == "tensorflow":
        np.testing.assert_allclose(by_gradient, by_difference, rtol=1e-5, atol=1e-6 * largest.max())
    expected = FIRST.setdefault(f"{block}/slopes", by_gradient)
    np.testing.assert_allclose(by_gradient, expected, rtol=1e-4, atol=1e-4 * largest.max())


def networks(result):
    return ON_JAX if result["backend"] == "jax" else tuple(KERAS)


def test_networks_with_the_weights_of_keras_give_its_outputs(result):
    for name in networks(result):
        close(result[f"{name}/ours"], result[f"{name}/theirs"], 1e-4)


@pytest.mark.parametrize("name", ["resnet", "vgg", "inception"])
def test_small_networks_are_saved_exactly_permuted_and_rounded(result, name):
    expected = result[f"{name}/small"]
    np.testing.assert_array_equal(result[f"{name}/loaded"], expected)
    close(result[f"{name}/permuted"], expected, 1e-5)
    close(result[f"{name}/mixed"], expected, 0.05)
    assert not np.array_equal(result[f"{name}/mixed"], expected)


def test_backends_agree(result):
    for name in ("resnet/small", "vgg/small", "inception/small", *(f"{name}/ours" for name in networks(result))):
        close(result[name], FIRST.setdefault(name, result[name]), 1e-4)


if __name__ == "__main__":
    worker(sys.argv[1])
