"""Leaving layers as they are while others learn."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import keras

__all__ = ["freeze"]


def freeze(model: keras.Model, which: str | Iterable[str] | Callable[[keras.layers.Layer], bool]) -> list[str]:
    """Keep the weights of some layers fixed in the training that follows.

    Parameters
    ----------
    model : keras.Model
        Its layers at any depth can be named.
    which : str, iterable of str, or callable
        Names of layers, or a function that is called with each layer and says whether to freeze it. A layer is frozen
        with all the layers inside it. (``layer.trainable = True`` lets it learn again.)

    Returns
    -------
    list of str
        The paths of the weights that were trainable and are now fixed.

    Raises
    ------
    ValueError
        If no layer has one of the names, or nothing was left to freeze.

    Notes
    -----
    A ``BatchNormalization`` that is frozen uses the statistics that it has, in training as well; dropout goes on.

    Examples
    --------
    >>> model = keras.Sequential([keras.layers.Dense(3, name="first"), keras.layers.Dense(2, name="second")])
    >>> model.build((None, 4))
    >>> len(freeze(model, "first")), [weight.path.split("/")[-2] for weight in model.trainable_variables]
    (2, ['second', 'second'])
    """
    layers = list(model._flatten_layers(include_self=False))
    before = list(model.trainable_variables)
    if callable(which):
        chosen = [layer for layer in layers if which(layer)]
    else:
        names = [which] if isinstance(which, str) else list(which)
        known = {layer.name for layer in layers}
        for name in names:
            if name not in known:
                raise ValueError(f"which names {name!r}; the layers of {model.name} are {', '.join(sorted(known))}")
        chosen = [layer for layer in layers if layer.name in names]
    for layer in chosen:
        layer.trainable = False
    left = {id(variable) for variable in model.trainable_variables}
    frozen = [variable.path for variable in before if id(variable) not in left]
    if not frozen:
        raise ValueError(f"which is {which!r}; it chose {len(chosen)} layers, and none has a weight that was trainable")
    return frozen
