"""The optimizers against Keras on the backend at hand, TensorFlow by default."""

import pytest

from tests.optimization import keras_peer, problems

keras = pytest.importorskip("keras", reason="Keras is the peer here")


@pytest.mark.parametrize("seed", problems.SEEDS)
@pytest.mark.parametrize("case", keras_peer.CASES)
def test_same_steps_as_keras(case, seed):
    if case.startswith("muon") and not hasattr(keras.optimizers, "Muon"):
        pytest.skip(f"Keras {keras.version()} has no Muon")
    ours = problems.trajectory(keras_peer.CASES[case][0](problems.rate), seed)
    assert problems.difference(ours, keras_peer.keras_trajectory(case, seed)) < 1e-6
