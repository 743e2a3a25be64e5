"""The models of chapter 18 on the three backends, and the linear autoencoder's aim against scikit-learn's PCA.

Each backend runs in a process of its own, once, with weights from NumPy.
"""

import sys
from pathlib import Path

import numpy as np
import pytest

from tests.reference.children import arrays, run_child

pytestmark = pytest.mark.reference

BACKENDS = ("tensorflow", "jax", "torch")


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What each backend that is installed computes."""
    results = {}
    for backend in BACKENDS:
        try:
            __import__(backend)
        except ImportError:
            continue
        result = tmp_path_factory.mktemp(backend) / "result.npz"
        run_child(__file__, result, backend=backend)
        results[backend] = arrays(result)
    return results


def test_the_backends_agree(found):
    if len(found) < 2:
        pytest.skip("one backend is installed; there is nothing to compare")
    first, *others = found.values()
    for other in others:
        assert first.keys() == other.keys()
        for key, values in first.items():
            assert key.startswith("slope") or np.abs(values).max() > 0.01  # the slope of keys' biases is 0
            np.testing.assert_allclose(other[key], values, atol=2e-5, rtol=2e-5, err_msg=key)


def test_a_projection_on_principal_components_is_a_linear_autoencoder(found):
    """With PCA's directions as its weights, the autoencoder's error is what scikit-learn's PCA leaves."""
    from sklearn.decomposition import PCA

    x = readings()
    peer = PCA(2).fit(x)
    wanted = np.square(x - peer.inverse_transform(peer.transform(x))).mean(axis=1)
    for backend, values in found.items():
        np.testing.assert_allclose(values["linear errors"], wanted, atol=1e-5, err_msg=backend)


def test_the_mixture_of_a_simulated_process_is_what_components_find():
    from sklearn.decomposition import PCA

    from course_lib.data.tennessee_eastman import simulate_process

    shares = PCA().fit(simulate_process(count=8000, seed=3).values).explained_variance_ratio_
    assert shares[:4].sum() == pytest.approx(0.84, abs=0.03)  # four fifths, and four parts in twenty of the noise
    assert shares[3] > 3 * shares[4]


def readings():
    rng = np.random.default_rng(0)
    return rng.normal(size=(50, 2)) @ rng.normal(size=(2, 6)) + 0.3 * rng.normal(size=(50, 6)) + 1


# --- The child's side -----------------------------------------------------------------------------------------------


def child(result):
    from sklearn.decomposition import PCA

    from course_lib.models.autoencoder import AutoencoderConfig, autoencoder, reconstruction_errors
    from course_lib.models.forecaster import Forecaster, ForecasterConfig, MaskedReconstruction, PatchEncoder
    from tests.layers.finite_differences import gradients, numpy

    def drawn(model):
        rng = np.random.default_rng(0)
        for weight in model.weights:
            if str(weight.dtype).startswith("float"):
                scale = 1.0 if weight.path.endswith("scale") else 0.0
                weight.assign(scale + 0.3 * rng.normal(size=weight.shape))
        return model

    rng, values = np.random.default_rng(1), {}
    config = ForecasterConfig(length=8, channels=2, patch=2, width=8, layers=1, heads=2, hidden=12)
    x, hidden = rng.normal(size=(3, 8, 2)).astype("float32"), np.array([[0, 1, 0, 1]] * 3, bool)
    backbone = PatchEncoder(config)
    rebuilding, forecaster = MaskedReconstruction(backbone), Forecaster(backbone, 2)
    drawn(rebuilding)
    values["rebuilt"] = numpy(rebuilding({"window": x, "hidden": hidden}))
    drawn(forecaster)
    values["forecast"] = numpy(forecaster(x))
    slopes = gradients(lambda: forecaster({"window": x, "hidden": hidden}), [], forecaster.trainable_weights)
    values |= {
        f"slope of {w.path.split('/', 1)[1]}": s for w, s in zip(forecaster.trainable_weights, slopes, strict=True)
    }

    data = readings()
    values["errors"] = reconstruction_errors(drawn(autoencoder(AutoencoderConfig(6, (4,), 2, "tanh"))), data)
    linear, peer = autoencoder(AutoencoderConfig(6, (), 2)), PCA(2).fit(data)
    encode, decode = peer.components_.T, peer.components_
    for weight, array in zip(linear.weights, (encode, -peer.mean_ @ encode, decode, peer.mean_), strict=True):
        weight.assign(array)
    values["linear errors"] = reconstruction_errors(linear, data)
    np.savez(result, **values)


if __name__ == "__main__":
    child(Path(sys.argv[1]))
