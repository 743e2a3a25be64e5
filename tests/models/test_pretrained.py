"""Weights of published networks: copied to the right place, fetched by Keras, refused where they do not fit."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import urllib.error
import urllib.request
from dataclasses import replace

import keras
import numpy as np
import pytest

from course_lib.layers.convolution import Conv, ConvStyle, Pool, inception_block
from course_lib.models import pretrained
from course_lib.models.pretrained import NAMES, copy_weights, imagenet, prepare
from course_lib.models.resnet import ResNetConfig, resnet
from course_lib.models.vgg import VGGConfig, vgg
from tests.models.networks import close, images, perturb, values

SMALL = ResNetConfig(blocks=(2, 1), widths=(4, 4), stem="small", classes=5, image=(8, 8, 2))


def test_layers_of_equal_shape_find_their_partners_whatever_their_names():
    """Three branches of equal shapes, in an order that neither names nor a list of layers tell."""

    def build(prefix, order):
        x = keras.Input((8, 8, 4))
        made = {}
        for branch in order:
            steps = {"a": [(1, False)], "b": [(1, False), (3, False)], "c": [(3, True), (1, False)]}[branch]
            y = x
            for number, (size, pool) in enumerate(steps):
                y = keras.layers.MaxPooling2D(3, 1, "same")(y) if pool else y
                name = f"{prefix[branch]}{number}"
                y = keras.layers.Conv2D(4, size, padding="same", name=name)(y)
            made[branch] = y
        return keras.Model(x, keras.layers.Concatenate()([made[branch] for branch in "abc"]))

    source = perturb(build({"a": "one", "b": "two", "c": "three"}, "cab"))
    target, x = build({"a": "z", "b": "y", "c": "x"}, "bca"), images(2, 8, 8, 4)
    assert copy_weights(source, target) == 5
    close(target(x), values(source(x)), 1e-6)
    assert [layer.name for layer in pretrained._layers_with_weights(target)] == ["z0", "y0", "y1", "x0", "x1"]


def test_a_layer_that_several_others_need_is_copied_once():
    model = perturb(resnet(SMALL))
    names = [layer.name for layer in pretrained._layers_with_weights(model)]
    assert len(set(names)) == len(names) == sum(bool(layer.weights) for layer in model.layers)
    assert names[:2] == ["stem_conv", "stem_norm"]
    assert names[-1] == "scores"
    shortcut = names.index("stage2_block1_shortcut_conv")
    assert names.index("stage1_block2_2_norm") < shortcut < names.index("stage2_block1_1_conv")


def test_an_output_on_the_way_to_another_is_copied_once():
    x = keras.Input((3,))
    first = keras.layers.Dense(3, name="first")(x)
    model = keras.Model(x, [keras.layers.Dense(3, name="second")(first), first])
    assert [layer.name for layer in pretrained._layers_with_weights(model)] == ["first", "second"]


def test_copies_are_bit_equal_and_independent():
    source, target = perturb(resnet(SMALL)), resnet(SMALL)
    copy_weights(source, target)
    kept = [values(weight).copy() for weight in source.weights]
    for weight, expected in zip(target.weights, kept, strict=True):
        np.testing.assert_array_equal(values(weight), expected)
        weight.assign(np.zeros(weight.shape))
    for weight, expected in zip(source.weights, kept, strict=True):
        np.testing.assert_array_equal(values(weight), expected)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"widths": (4, 6)}, r"stage2_block1_shortcut_conv is a Conv2D .*\(1, 1, 4, 4\).*\(1, 1, 4, 6\)"),
        ({"conv_bias": True}, r"stem_conv is a Conv2D with weights of shapes \[\(3, 3, 2, 4\)\], stem_conv a Conv2D"),
        ({"blocks": (2, 2)}, "scores is a Dense .*, stage2_block2_1_conv a Conv2D"),
        ({"shortcuts": False}, "source and target differ"),
        ({"classes": None}, "source has 17 layers with weights, target has 16"),
    ],
)
def test_other_structures_are_refused_and_nothing_changes(change, text):
    source, target = perturb(resnet(SMALL)), perturb(resnet(replace(SMALL, **change)), seed=1)
    before = [values(weight).copy() for weight in target.weights]
    with pytest.raises(ValueError, match=text):
        copy_weights(source, target)
    for weight, expected in zip(target.weights, before, strict=True):
        np.testing.assert_array_equal(values(weight), expected)


def test_equal_shapes_of_another_kind_are_refused():
    def build(layer):
        x = keras.Input((4, 4, 3))
        return keras.Model(x, layer(x))

    with pytest.raises(ValueError, match=r"first is a Conv2D .*, second a Conv2DTranspose"):
        copy_weights(
            build(keras.layers.Conv2D(3, 3, name="first")), build(keras.layers.Conv2DTranspose(3, 3, name="second"))
        )


def test_nested_concatenations_are_walked_in_order():
    branches = [[Conv(2), [[Conv(2)], [Conv(2)]]], [Pool("average"), Conv(2)], [Conv(2)]]
    x = keras.Input((6, 6, 2))
    model = keras.Model(x, inception_block(x, branches, ConvStyle(normalize=False), "m"))
    names = [layer.name for layer in pretrained._layers_with_weights(model)]
    assert names == ["m_a1_conv", "m_a2_a1_conv", "m_a2_b1_conv", "m_b2_conv", "m_c1_conv"]


# --- ImageNet's weights ----------------------------------------------------------------------------------------------


@pytest.fixture
def published(monkeypatch):
    """Stand in for Keras' download: the same networks with random weights, and a note of what was asked for."""
    asked = []
    for name in ("ResNet50", "VGG16"):
        build = getattr(keras.applications, name)

        def fake(weights, build=build, name=name, **options):
            asked.append({"name": name, "weights": weights, **options})
            return perturb(build(weights=None, **options))

        monkeypatch.setattr(keras.applications, name, fake)
    return asked


def test_a_published_network_comes_with_its_weights(published):
    model = imagenet("resnet50", image=(40, 32, 3))
    assert published == [{"name": "ResNet50", "weights": "imagenet", "classifier_activation": None}]
    assert (model.name, model.input_shape, model.output_shape) == ("resnet50", (None, 40, 32, 3), (None, 1000))
    source, x = keras.applications.ResNet50("imagenet", classifier_activation=None), images(1, 224, 224, 3)
    full = resnet("resnet50")
    copy_weights(model, full)
    close(full(x), source(x), 1e-4)


def test_without_head_it_gives_features_of_any_image(published):
    model = imagenet("vgg16", image=(32, 48, 3), head=False)
    assert published == [{"name": "VGG16", "weights": "imagenet", "include_top": False}]
    source, x = keras.applications.VGG16("imagenet", include_top=False), images(1, 32, 48, 3)
    assert model.output_shape == (None, 1, 1, 512)
    close(model(x), source(x), 1e-4)


def test_offline_the_message_says_what_to_do(monkeypatch, tmp_path):
    def unplugged(*arguments, **options):
        raise urllib.error.URLError("no route to host")

    from keras.src.backend import config  # the folder of an earlier download must not help

    monkeypatch.setattr(config, "_KERAS_DIR", str(tmp_path))
    monkeypatch.setattr(urllib.request, "urlopen", unplugged)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(ConnectionError) as caught:
        imagenet("resnet50", head=False)
    text = str(caught.value)
    assert "weights of resnet50 are not on this machine and could not be downloaded" in text
    assert "https://storage.googleapis.com/tensorflow/keras-applications/resnet/resnet50_weights" in text
    assert f"into {tmp_path / 'models'} from a machine" in text
    assert "no route to host" in text
    assert "builds offline, with random weights" in text


def test_other_failures_are_passed_on(monkeypatch):
    def corrupted(**options):
        raise ValueError("Incomplete or corrupted file detected.")

    monkeypatch.setattr(keras.applications, "ResNet50", corrupted)
    with pytest.raises(ValueError, match="corrupted"):
        imagenet("resnet50")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: imagenet("resnet18"), "name is 'resnet18'; allowed are 'vgg16', 'vgg19', 'inception_v3', 'resnet50'"),
        (
            lambda: imagenet("vgg16", (128, 128, 3)),
            r"image is \(128, 128, 3\); with its head, vgg16 takes \(224, 224, 3\)",
        ),
        (lambda: imagenet("resnet50", (64, 64, 1)), r"image is \(64, 64, 1\); the published networks take 3 channels"),
        (lambda: imagenet("inception_v3", (64, 64, 3)), r"image is \(64, 64, 3\); .* at least 75 pixels"),
        (lambda: imagenet("resnet50", head=0), "head is 0"),
        (lambda: prepare("alexnet", np.zeros((1, 2, 2, 3))), "name is 'alexnet'"),
        (lambda: prepare("vgg16", np.zeros((2, 2, 3))), r"images has shape \(2, 2, 3\); it must have 4 dimensions"),
        (lambda: prepare("vgg16", np.zeros((1, 2, 2, 1))), r"images have shape \(1, 2, 2, 1\); .* 3\)"),
        (lambda: prepare("vgg16", np.full((1, 2, 2, 3), -1.0)), "images range from -1 to -1; .* 0 and 255"),
        (lambda: prepare("vgg16", np.full((1, 2, 2, 3), 256)), "images range from 256 to 256"),
    ],
)
def test_bad_arguments_are_named(call, text):
    with pytest.raises((ValueError, TypeError), match=text):
        call()


@pytest.mark.parametrize("name", NAMES)
def test_images_are_scaled_as_keras_scales_them(name):
    module = {"inc": keras.applications.inception_v3, "vgg": keras.applications.vgg16, "res": keras.applications.resnet}
    batch = np.random.default_rng(0).integers(0, 256, (2, 5, 4, 3), dtype=np.uint8)
    found, before = prepare(name, batch), batch.copy()
    np.testing.assert_allclose(found, module[name[:3]].preprocess_input(batch.astype("float32")), rtol=1e-6, atol=1e-5)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(batch, before)


def test_a_vgg_of_another_size_keeps_its_weights_without_head():
    large = perturb(vgg(VGGConfig((1, 1), (4, 4), (), None, (16, 16, 3))))
    small = vgg(VGGConfig((1, 1), (4, 4), (), None, (8, 8, 3)))
    assert copy_weights(large, small) == 2
