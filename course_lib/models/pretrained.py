"""Weights of Keras' published image networks, for ours: copied layer by layer.

>>> from course_lib.models.vgg import VGGConfig, vgg
>>> config = VGGConfig(blocks=(1, 1), widths=(4, 8), hidden=(), classes=3, image=(8, 8, 1))
>>> first, second = vgg(config, seed=0), vgg(config, seed=1)
>>> copy_weights(first, second)
3
>>> images = np.ones((1, 8, 8, 1))
>>> np.array_equal(first.predict(images, verbose=0), second.predict(images, verbose=0))
True
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from course_lib import _check
from course_lib.models.inception import PRESETS as INCEPTION
from course_lib.models.inception import inception
from course_lib.models.resnet import PRESETS as RESNET
from course_lib.models.resnet import resnet
from course_lib.models.vgg import PRESETS as VGG
from course_lib.models.vgg import vgg

__all__ = ["NAMES", "copy_weights", "imagenet", "prepare"]

# Our preset, its builder, Keras' builder, and whether the network was trained on BGR images minus their mean.
_SOURCES: dict[str, tuple[Any, Any, str, bool]] = {
    "vgg16": (VGG["vgg16"], vgg, "VGG16", True),
    "vgg19": (VGG["vgg19"], vgg, "VGG19", True),
    "inception_v3": (INCEPTION["inception_v3"], inception, "InceptionV3", False),
    "resnet50": (RESNET["resnet50"], resnet, "ResNet50", True),
    "resnet101": (RESNET["resnet101"], resnet, "ResNet101", True),
    "resnet152": (RESNET["resnet152"], resnet, "ResNet152", True),
}
NAMES = tuple(_SOURCES)
# Of ImageNet's training images, from 0 to 255, as the authors of VGG and ResNet subtracted them.
_BGR_MEANS = np.array([103.939, 116.779, 123.68], np.float32)


def copy_weights(source: keras.Model, target: keras.Model) -> int:
    """Copy weights between two models of the same structure, layer by layer, whatever the layers are called.

    Both graphs are walked from the inputs to the outputs in the same way, and the layers that have weights are paired
    in that order. So branches of equal shape cannot be mistaken for each other, as they could by position in a list.

    Parameters
    ----------
    source, target : keras.Model
        Functional models whose graphs are equal but for layers without weights.

    Returns
    -------
    int
        The layers copied.

    Raises
    ------
    ValueError
        If a layer's partner has other weights, or none; the message names both. No weight is changed then.
    """
    pairs = _paired(source, target)
    for theirs, ours in pairs:
        ours.set_weights(theirs.get_weights())
    return len(pairs)


def _paired(source: keras.Model, target: keras.Model) -> list[tuple[keras.layers.Layer, keras.layers.Layer]]:
    """Pair the layers that have weights; refuse if a pair's kinds or shapes differ."""
    lists = [_layers_with_weights(model) for model in (source, target)]
    pairs = list(zip(*lists, strict=False))
    for pair in pairs:
        (theirs, first), (ours, second) = [(type(p).__name__, [tuple(w.shape) for w in p.weights]) for p in pair]
        if theirs != ours or first != second:
            raise ValueError(
                f"source and target differ: {pair[0].name} is a {theirs} with weights of shapes {first}, "
                f"{pair[1].name} a {ours} with {second}"
            )
    if len(lists[0]) != len(lists[1]):
        raise ValueError(f"source has {len(lists[0])} layers with weights, target has {len(lists[1])}")
    return pairs


def _layers_with_weights(model: keras.Model) -> list[keras.layers.Layer]:
    """List a functional model's layers with weights, each after those that it needs, first inputs first."""
    made_by = {id(tensor): layer for layer in model.layers for tensor in keras.tree.flatten(layer.output)}
    waiting = [made_by[id(tensor)] for tensor in reversed(model.outputs)]
    seen: set[int] = set()
    ordered = []
    while waiting:  # depth first, without recursion: a ResNet-152 is deeper than Python's stack allows
        layer = waiting[-1]
        needs = [] if isinstance(layer, keras.layers.InputLayer) else keras.tree.flatten(layer.input)
        missing = [made_by[id(tensor)] for tensor in needs if id(made_by[id(tensor)]) not in seen]
        if missing:
            waiting.append(missing[0])
            continue
        waiting.pop()
        if id(layer) not in seen:
            seen.add(id(layer))
            if layer.weights:
                ordered.append(layer)
    return ordered


def imagenet(name: str, image: tuple[int, int, int] | None = None, head: bool = True) -> keras.Model:
    """Build a network with the weights that Keras publishes, trained on ImageNet's 1000 classes.

    Keras downloads them once, shows the progress, checks the hash and keeps the file in ``~/.keras/models``.

    Parameters
    ----------
    name : str
        A name in `NAMES`.
    image : tuple of int, optional
        Rows, columns and the 3 channels of your images; by default those that the network was trained on. A VGG that
        keeps its head takes no others.
    head : bool
        False leaves the scores out: the model gives features (batch, rows, columns, channels), to put a new head on.

    Returns
    -------
    keras.Model
        Takes images made by `prepare`, gives scores without softmax, or features.

    Raises
    ------
    ConnectionError
        If the weights are not on this machine and cannot be downloaded.
    ValueError
        If there is no such network, or the image does not suit it.
    """
    _check.choice("name", name, NAMES)
    _check.flag("head", head)
    preset, build, theirs, _ = _SOURCES[name]
    config = replace(preset, image=preset.image if image is None else image, classes=preset.classes if head else None)
    if config.image[2] != 3:
        raise ValueError(f"image is {image!r}; the published networks take 3 channels, red, green and blue")
    if head and build is vgg and config.features != preset.features:
        raise ValueError(f"image is {image!r}; with its head, {name} takes {preset.image} only. Use head=False")
    try:
        # No sizes: a network without head takes any, and with head Keras insists on those of the training.
        options = {"classifier_activation": None} if head else {"include_top": False}
        source = getattr(keras.applications, theirs)(weights="imagenet", **options)
    except Exception as error:  # Keras raises a bare Exception when a download fails
        if not (str(error).startswith("URL fetch failure") or isinstance(error, (ConnectionError, TimeoutError))):
            raise
        folder = Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models"
        raise ConnectionError(
            f"the ImageNet weights of {name} are not on this machine and could not be downloaded ({error}). Connect to "
            f"the internet and call this again, or copy the file that this address names into {folder} from a machine "
            f"that has it. The preset {name!r} itself builds offline, with random weights."
        ) from error
    model = build(config, name=name)
    copy_weights(source, model)
    return model


def prepare(name: str, images: Any) -> np.ndarray:
    """Scale images as a network of `imagenet` saw them in its training; other scales give confident nonsense.

    Parameters
    ----------
    name : str
        A name in `NAMES`.
    images : array_like, shape (batch, rows, columns, 3)
        Red, green and blue, from 0 to 255.

    Returns
    -------
    np.ndarray of float32, of the same shape
        For Inception, numbers from -1 to 1. For VGG and ResNet: blue, green and red, each minus ImageNet's mean of that
        colour.

    Raises
    ------
    TypeError, ValueError
        If there is no such network, or the images are not of this shape and range.

    Examples
    --------
    >>> white = np.full((1, 1, 1, 3), 255)
    >>> prepare("inception_v3", white).ravel(), prepare("resnet50", white).ravel().round(1)
    (array([1., 1., 1.], dtype=float32), array([151.1, 138.2, 131.3], dtype=float32))
    """
    _check.choice("name", name, NAMES)
    values = _check.finite("images", images, ndim=4).astype(np.float32)
    if values.shape[-1] != 3:
        raise ValueError(f"images have shape {values.shape}; it must be (batch, rows, columns, 3)")
    if values.size and not (values.min() >= 0 and values.max() <= 255):
        raise ValueError(f"images range from {values.min():g} to {values.max():g}; they must lie within 0 and 255")
    if _SOURCES[name][3]:
        return values[..., ::-1] - _BGR_MEANS
    return values / np.float32(127.5) - np.float32(1)
