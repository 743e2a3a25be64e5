"""Detector, U-Net and classifiers of videos on the three backends against torch; boxes and anchors against Keras' own.

Each backend runs in a process of its own, which is this file as a script; torch, in the process of the tests, computes
the same with the same weights. ``python tests/reference/test_detection.py RESULTS`` runs what KERAS_BACKEND names.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference

BACKENDS = ("tensorflow", "jax", "torch")
KINDS = ("frames", "recurrent", "conv3d")
NAMES = ("detector", "unet", *KINDS)
NOT_ON_JAX = ("frames",)  # compiled for seconds, and the recurrent one is made of the same parts
RATE = 0.01


def settings():
    from course_lib.models.detector import DetectorConfig
    from course_lib.models.unet import UNetConfig
    from course_lib.models.video import VideoConfig

    # 20 rows become 5 and then 3: doubled again, the coarse level has a row too many.
    found = {
        "detector": DetectorConfig((20, 24, 2), 3, (3, 4, 5), (2, 3), 4, 1, (6.0, 12.0), (1.0, 1.5), (1.0, 2.0)),
        "unet": UNetConfig((44, 48, 2), 3, (3, 4, 5), "valid", normalize=False),
    }
    return found | {kind: VideoConfig(kind, 3, (8, 10, 2), 3, (3, 4), 5) for kind in KINDS}


# --- In the process of a backend -------------------------------------------------------------------------------------


def worker(results):
    import keras

    from course_lib.models.detector import BoxLoss, FocalLoss, detect, detector, targets
    from course_lib.models.unet import unet
    from course_lib.models.video import video_classifier
    from tests.models.networks import perturb, values

    configs = settings()
    build = {"detector": detector, "unet": unet} | dict.fromkeys(KINDS, video_classifier)
    entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    losses = {"detector": {"classes": FocalLoss(), "boxes": BoxLoss()}}
    found = {"backend": np.array(keras.backend.backend())}
    for name in NAMES:
        if keras.backend.backend() == "jax" and name in NOT_ON_JAX:
            continue
        rng = np.random.default_rng(1)
        model = perturb(build[name](configs[name]))
        x = rng.standard_normal((3, *model.input_shape[1:])).astype("float32")
        found[f"{name}/input"] = x
        found |= {f"{name}/weights/{w.path}": values(w).copy() for w in model.weights}
        model.compile(keras.optimizers.SGD(RATE), losses.get(name, entropy))
        found |= named(name, "output", model.predict_on_batch(x))
        path = Path(results).with_suffix(f".{name}.keras")
        model.save(path)
        loaded = keras.models.load_model(path)
        same = zip(model.weights, loaded.weights, strict=True)
        assert all(np.array_equal(values(a), values(b)) for a, b in same)
        if name == "detector":
            boxes = [[[2, 2, 9, 9], [10, 4, 22, 18]], np.zeros((0, 4)), [[0, 10, 12, 20]]]
            y = targets(configs[name], boxes, [[0, 2], np.zeros(0, int), [1]])
            found |= {f"{name}/targets/{key}": value for key, value in y.items()}
            for n, image in enumerate(detect(loaded, x, score=0.3)):
                found |= {f"{name}/found/{n}/{key}": value for key, value in image.items()}
        else:
            y = rng.integers(0, 3, values(found[f"{name}/output"]).shape[:-1])
            found[f"{name}/labels"] = y
        found[f"{name}/loss"] = np.array(float(model.train_on_batch(x, y, return_dict=True)["loss"]))
        found |= {f"{name}/moved/{w.path}": values(w).copy() for w in model.trainable_weights}
    np.savez(results, **found)


def named(name, kind, outputs):
    if isinstance(outputs, dict):
        return {f"{name}/{kind}/{key}": np.asarray(value) for key, value in outputs.items()}
    return {f"{name}/{kind}": np.asarray(outputs)}


# --- In the process of the tests -------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=BACKENDS)
def result(request, tmp_path_factory):
    path = tmp_path_factory.mktemp(request.param) / "results.npz"
    run_child(__file__, path, backend=request.param)
    found = arrays(path)
    assert str(found["backend"]) == request.param
    return found


class Torch:
    """The networks by torch's kernels, channels first, with the weights that a backend used."""

    def __init__(self, result, name):
        import torch
        import torch.nn.functional as F

        self.torch, self.F, self.name = torch, F, name
        prefix = f"{name}/weights/"
        self.w = {
            key.removeprefix(prefix): torch.tensor(array, requires_grad="moving" not in key)
            for key, array in result.items() if key.startswith(prefix)
        }  # fmt: skip
        self.x = torch.tensor(np.moveaxis(result[f"{name}/input"], -1, 1))
        self.training = False

    def conv(self, x, name, stride=1, same=True, relu=False):
        """Convolve as Keras does: of an odd number of zeros, the one more stands at the end."""
        kernel = self.w[f"{name}/kernel"]
        dims = kernel.ndim - 2
        kernel = kernel.permute(dims + 1, dims, *range(dims))
        stride = (stride,) * dims if isinstance(stride, int) else stride
        if same:
            sides = []
            for size, window, step in zip(x.shape[2:], kernel.shape[2:], stride, strict=True):
                total = max((-(-size // step) - 1) * step + window - size, 0)
                sides = [total // 2, total - total // 2, *sides]
            x = self.F.pad(x, sides)
        convolve = self.F.conv2d if dims == 2 else self.F.conv3d
        x = convolve(x, kernel, self.w.get(f"{name}/bias"), stride)
        return self.F.relu(x) if relu else x

    def norm(self, x, name):
        mean, variance = (self.w[f"{name}/moving_{kind}"].clone() for kind in ("mean", "variance"))
        scale, shift = (self.w[f"{name}/{kind}"] for kind in ("gamma", "beta"))
        return self.F.relu(self.F.batch_norm(x, mean, variance, scale, shift, self.training, 0.1, 1e-5))

    def stage(self, x, name, stride):
        return self.norm(self.conv(x, f"{name}_conv", stride), f"{name}_norm")

    def __call__(self):
        return getattr(self, "video" if self.name in KINDS else self.name)(self.x)

    def detector(self, x):
        torch, stages = self.torch, []
        for number in (1, 2, 3):
            x = self.stage(x, f"stage_{number}_1", 2)
            if number > 1:
                x = self.stage(x, f"stage_{number}_2", 1)
            stages.append(x)
        coarse = self.conv(stages[2], "side_3")
        fine = self.conv(stages[1], "side_2")
        up = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
        fine = fine + up[:, :, : fine.shape[2], : fine.shape[3]]
        maps = [self.conv(fine, "level_2"), self.conv(coarse, "level_3")]
        answers = {}
        for head, each in (("boxes", 4), ("classes", 3)):
            outputs = [self.conv(self.conv(m, f"{head}_1", relu=True), f"{head}_answer") for m in maps]
            answers[head] = torch.cat([y.permute(0, 2, 3, 1).reshape(3, -1, each) for y in outputs], 1)
        return answers

    def unet(self, x):
        torch, F, passed = self.torch, self.F, []
        for number in (1, 2, 3):
            x = F.max_pool2d(x, 2) if number > 1 else x
            for part in (1, 2):
                x = self.conv(x, f"down_{number}_{part}_conv", same=False, relu=True)
            passed.append(x)
        for number in (2, 1):
            kernel, bias = self.w[f"up_{number}_double/kernel"], self.w[f"up_{number}_double/bias"]
            x = F.conv_transpose2d(x, kernel.permute(3, 2, 0, 1), bias, 2)
            beside = passed[number - 1]
            top, left = ((a - b) // 2 for a, b in zip(beside.shape[2:], x.shape[2:], strict=True))
            x = torch.cat([beside[:, :, top : top + x.shape[2], left : left + x.shape[3]], x], 1)
            for part in (1, 2):
                x = self.conv(x, f"up_{number}_{part}_conv", same=False, relu=True)
        return self.conv(x, "scores").permute(0, 2, 3, 1)

    def video(self, x):  # (batch, channels, frames, rows, columns)
        torch = self.torch
        if self.name == "conv3d":
            for number in (1, 2):
                x = self.norm(self.conv(x, f"stage_{number}_conv", (1, 2, 2)), f"stage_{number}_norm")
            x = x.mean((2, 3, 4))
        else:
            x = x.permute(0, 2, 1, 3, 4).flatten(0, 1)
            for number in (1, 2):
                x = self.stage(x, f"stage_{number}", 2)
            x = x.permute(0, 2, 3, 1).reshape(3, 3, -1)
            x = self.F.relu(x @ self.w["features/kernel"] + self.w["features/bias"])
            x = x.mean(1) if self.name == "frames" else self.gru(x)
        assert torch.is_tensor(x)
        return x @ self.w["scores/kernel"] + self.w["scores/bias"]

    def gru(self, x):
        """Run torch's GRU; Keras' gates stand in another order, update before reset."""
        torch = self.torch
        kernel, recurrent, bias = (
            next(w for key, w in self.w.items() if key.endswith(f"/{end}") and key.startswith("reader"))
            for end in ("kernel", "recurrent_kernel", "bias")
        )

        def order(w):
            update, reset, new = w.chunk(3, -1)
            return torch.cat([reset, update, new], -1)

        flat = [order(kernel).T.contiguous(), order(recurrent).T.contiguous(), order(bias[0]), order(bias[1])]
        state = torch.zeros(1, 3, recurrent.shape[0])
        return torch.gru(x, state, flat, True, 1, 0.0, False, False, True)[1][0]


FIRST = {}  # the results of TensorFlow, which comes first, for the other backends


def close(found, expected, tolerance):
    assert found.shape == expected.shape
    assert np.abs(expected).max() > 1e-3
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error <= tolerance, f"relative difference {error:.2e}, allowed {tolerance:.0e}"


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_torch(result, name):
    if result["backend"] == "jax" and name in NOT_ON_JAX:
        return
    import torch

    with torch.no_grad():
        expected = Torch(result, name)()
    if name == "detector":
        for head in ("boxes", "classes"):
            close(result[f"detector/output/{head}"], expected[head].numpy(), 1e-5)
    else:
        close(result[f"{name}/output"], expected.numpy(), 1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_a_step_of_training_is_that_of_torch(result, name):
    """Loss and every weight after a step of gradient descent; the detector's by torch's own losses."""
    if result["backend"] == "jax" and name in NOT_ON_JAX:
        return
    import torch
    import torch.nn.functional as F

    peer = Torch(result, name)
    peer.training = True
    answers = peer()
    if name == "detector":
        labels = torch.tensor(result["detector/targets/classes"]).long()
        offsets = torch.tensor(result["detector/targets/boxes"])
        logits, boxes = answers["classes"], answers["boxes"]
        there = F.one_hot(labels.clamp(0), 3) * (labels >= 0)[..., None]
        entropy = F.binary_cross_entropy_with_logits(logits, there.float(), reduction="none")
        p = torch.sigmoid(logits)
        miss = torch.where(there > 0, 1 - p, p)
        focal = torch.where(there > 0, 0.25, 0.75) * miss**2 * entropy * (labels > -2)[..., None]
        smooth = F.smooth_l1_loss(boxes, offsets[..., :4], reduction="none", beta=0.1) * offsets[..., 4:]
        objects = (labels >= 0).sum(1).clamp(1)
        loss = ((focal.sum((1, 2)) + smooth.sum((1, 2))) / objects).mean()
        assert {-2, -1, 0, 1, 2} >= set(labels.unique().tolist()) >= {-1, 0, 1, 2}
    else:
        loss = F.cross_entropy(answers.reshape(-1, 3), torch.tensor(result[f"{name}/labels"]).reshape(-1))
    loss.backward()
    assert float(result[f"{name}/loss"]) == pytest.approx(loss.item(), rel=1e-5)
    for path, weight in peer.w.items():
        if weight.requires_grad:
            step = result[f"{name}/weights/{path}"] - result[f"{name}/moved/{path}"]
            scale = max(float(weight.grad.abs().max()), 1e-2)
            assert np.abs(step / RATE - weight.grad.numpy()).max() <= 2e-3 * scale, path


def test_backends_agree(result):
    for key, value in result.items():
        if "/output" in key or "/loss" in key:
            close(value, FIRST.setdefault(key, value), 2e-5)
        elif "/found/" in key or "/targets/" in key:
            np.testing.assert_allclose(value, FIRST.setdefault(key, value), atol=2e-4)
    assert sum(len(value) for key, value in result.items() if key.endswith("scores") and "/found/" in key) > 3


# --- Without a network -----------------------------------------------------------------------------------------------


def random_boxes(rng, count):
    corner = rng.integers(0, 30, (count, 2))
    return np.hstack([corner, corner + rng.integers(1, 20, (count, 2))]).astype("float32")


def test_overlaps_and_offsets_are_those_of_keras():
    from keras.utils import bounding_boxes as theirs

    from course_lib.evaluation.boxes import convert, iou
    from course_lib.models.detector import decode, encode

    rng = np.random.default_rng(0)
    a, b = random_boxes(rng, 9), random_boxes(rng, 9)
    np.testing.assert_allclose(iou(a, b), np.asarray(theirs.compute_iou(a, b, "xyxy")), atol=1e-6)
    for form, name in (("coco", "xywh"), ("center", "center_xywh")):
        expected = np.asarray(theirs.convert_format(a, source="xyxy", target=name))
        np.testing.assert_allclose(convert(a, target=form), expected, atol=1e-5)
    forms = {"anchor_format": "xyxy", "box_format": "xyxy", "encoding_format": "center_xywh"}
    offsets = np.asarray(theirs.encode_box_to_deltas(b, a, **forms))
    np.testing.assert_allclose(encode(a, b), offsets, atol=1e-5)
    np.testing.assert_allclose(decode(offsets, b), a, atol=1e-4)


def test_suppression_is_that_of_tensorflow():
    import tensorflow as tf

    from course_lib.evaluation.boxes import non_maximum_suppression

    rng = np.random.default_rng(0)
    for threshold in (0.2, 0.5, 0.8):
        boxes = np.repeat(random_boxes(rng, 10), 4, axis=0)
        boxes[:, 2:] += rng.integers(0, 4, (40, 2))
        scores = rng.random(40).astype("float32")
        theirs = tf.image.non_max_suppression(boxes[:, [1, 0, 3, 2]], scores, 40, threshold).numpy()
        np.testing.assert_array_equal(non_maximum_suppression(boxes, scores, threshold), theirs)
        assert 0 < len(theirs) < 40


def test_anchors_are_those_of_keras_hub():
    """Moved by half a place: keras_hub centres anchors on a place's corner, we on its middle."""
    import keras_hub

    from course_lib.models.detector import DetectorConfig, anchors

    config = DetectorConfig((32, 48, 3), 2, (4, 4, 4), (2, 3), sizes=(16.0, 32.0), scales=(1.0,), ratios=(0.25, 1, 4))
    layer = keras_hub.layers.AnchorGenerator("xyxy", 2, 3, 1, [0.25, 1.0, 4.0], 4.0)
    found = layer(np.zeros((1, 32, 48, 3), "float32"))
    theirs = np.concatenate([np.asarray(found[f"P{level}"]) + 2**level / 2 for level in (2, 3)])
    ours = anchors(config)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)], atol=1e-4)


if __name__ == "__main__":
    worker(sys.argv[1])
