"""Chapter 02's script, as the chapter has it, on the three backends: the same weights, loss and predictions.

The chapter itself shows the backends that a reader has; here all three must be there.
"""

import ast
import json
from pathlib import Path

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference

CHAPTER = Path(__file__).parents[2] / "notebooks" / "02_training_pipeline.ipynb"
BACKENDS = ("tensorflow", "jax", "torch")
NAMES = ("w1", "b1", "w2", "b2")


def script():
    """Find the text that the chapter gives to its child processes."""
    for cell in json.loads(CHAPTER.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            for node in ast.parse("".join(cell["source"])).body:
                if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "BACKEND_SCRIPT":
                    return ast.literal_eval(node.value)
    raise AssertionError("chapter 02 assigns no BACKEND_SCRIPT")


@pytest.fixture(scope="module")
def given():
    rng = np.random.default_rng(0)
    shapes = ((30, 16), (16,), (16, 2), (2,))
    start = {name: 0.3 * rng.normal(size=shape) for name, shape in zip(NAMES, shapes, strict=True)}
    x, y = rng.normal(size=(32 * 20, 30)), rng.integers(2, size=32 * 20)
    return start | {"x": x, "y": y, "x_test": rng.normal(size=(50, 30)), "rate": 0.1}


@pytest.fixture(scope="module", params=BACKENDS)
def result(request, given, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    np.savez(folder / "given.npz", **given)
    run_child("-c", script(), folder / "given.npz", folder / "result.npz", backend=request.param)
    found = arrays(folder / "result.npz")
    assert str(found["backend"]) == request.param
    return found


def by_hand(given):
    """Plain descent on the same batches in float64, written apart from the chapter's."""
    w1, b1, w2, b2 = (given[name].copy() for name in NAMES)
    for x, y in zip(given["x"].reshape(-1, 32, 30), given["y"].reshape(-1, 32), strict=True):
        before = x @ w1 + b1
        hidden = np.where(before > 0, before, 0.0)
        z = hidden @ w2 + b2
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        error = (p - np.stack([1 - y, y], axis=1)) / 32
        back = (error @ w2.T) * (before > 0)
        w1, b1 = w1 - 0.1 * x.T @ back, b1 - 0.1 * back.sum(axis=0)
        w2, b2 = w2 - 0.1 * hidden.T @ error, b2 - 0.1 * error.sum(axis=0)
    return w1, b1, w2, b2


def test_weights_are_those_of_descent_by_hand(result, given):
    """In float32, after 20 steps: 1e-5 is about a hundred rounding units; each array moves by more than 0.01."""
    for name, expected in zip(NAMES, by_hand(given), strict=True):
        assert np.abs(given[name] - expected).max() > 0.01
        np.testing.assert_allclose(result[name], expected, atol=1e-5, rtol=0)


def test_predictions_follow_from_the_weights(result, given):
    w1, b1, w2, b2 = by_hand(given)
    expected = np.maximum(given["x_test"] @ w1 + b1, 0) @ w2 + b2
    np.testing.assert_allclose(result["logits"], expected, atol=5e-5, rtol=0)
    assert float(result["seconds"]) > 0
