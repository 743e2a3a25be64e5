"""What the source documents run with PyTorch and Keras, reproduced: chapter 03 says what happens, and why."""

import numpy as np
import pytest

pytestmark = pytest.mark.reference

torch = pytest.importorskip("torch")


def program(parameters, batch_size, seed, steps=1000, intercept=False):
    """Run document 1's sections 4.1 to 4.5, with a list for the optimizer; give last parameters and late mean loss.

    The document draws from torch's global generator; here the draws are seeded.
    """
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.SGD(params=parameters, lr=0.01)
    losses = []
    for _ in range(steps):
        x = torch.randn(batch_size, generator=generator)
        predicted = x * parameters[0] + (parameters[1] if intercept else 0.0)
        loss = torch.nn.functional.mse_loss(predicted, 4 * x + 2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return [float(p.detach()) for p in parameters], float(np.mean(losses[-200:]))


def parameter():
    return torch.zeros(1, requires_grad=True)


def test_torch_refuses_the_bare_tensor_of_document_1():
    with pytest.raises(TypeError, match="should be an iterable of Tensors or dicts"):
        torch.optim.SGD(params=parameter(), lr=0.01)


def test_the_rows_of_a_tensor_are_no_parameters_either():
    # Why it refuses: what iterating gives are results of an operation, not the tensor that holds the weights.
    with pytest.raises(ValueError, match="non-leaf"):
        torch.optim.SGD(params=list(parameter()), lr=0.01)


def test_keras_refuses_the_zip_of_document_2():
    import keras

    variable = keras.Variable(np.zeros(3))
    gradient = keras.ops.ones(3)
    # The class of the error depends on the backend: a row of a variable has no name and no assign.
    with pytest.raises((AttributeError, TypeError, ValueError, KeyError)):
        keras.optimizers.SGD(0.1).apply_gradients(zip([gradient], variable, strict=False))
    assert np.all(keras.ops.convert_to_numpy(variable) == 0)
    keras.optimizers.SGD(0.1).apply_gradients(zip([gradient], [variable], strict=True))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(variable), -0.1, rtol=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_without_an_intercept_the_loss_stops_at_four(seed):
    (slope,), loss = program([parameter()], 1000, seed)
    assert slope == pytest.approx(4, abs=0.05)
    assert loss == pytest.approx(4, abs=0.01)


@pytest.mark.parametrize("batch_size", [1, 1000])
def test_with_an_intercept_it_goes_to_zero(batch_size):
    (slope, intercept), loss = program([parameter(), parameter()], batch_size, 0, intercept=True)
    assert (slope, intercept) == (pytest.approx(4, abs=1e-3), pytest.approx(2, abs=1e-3))
    assert loss < 1e-6
