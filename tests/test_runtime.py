"""course_lib.runtime: what a run is, refused where it is wrong, found without importing anything heavy."""

import json
import os
import random
import subprocess
import sys
import types

import numpy as np
import pytest

from course_lib import runtime


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("COURSE_SCALE", "COURSE_SEED", "KERAS_BACKEND", "KERAS_HOME"):
        monkeypatch.delenv(name, raising=False)


def fresh_python(code, **environment):
    """Run code in a new interpreter and give what it printed."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("COURSE_", "KERAS_"))} | environment
    return subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True).stdout


def test_import_course_lib_alone_takes_under_a_fifth_of_a_second():
    code = "import time; s = time.perf_counter(); import course_lib; print(time.perf_counter() - s)"
    assert min(float(fresh_python(code)) for _ in range(3)) < 0.2


@pytest.mark.parametrize("scale", runtime.SCALES)
def test_at_scale_picks(monkeypatch, scale):
    monkeypatch.setenv("COURSE_SCALE", scale)
    assert runtime.at_scale(smoke="smoke", laptop="laptop", gpu="gpu") == scale


def test_scale_follows_the_device(monkeypatch):
    monkeypatch.setattr(runtime, "device", lambda: runtime.Device("cpu", "a CPU", 2))
    assert runtime.scale() == "laptop"
    monkeypatch.setattr(runtime, "device", lambda: runtime.Device("gpu", "a GPU", 1))
    assert runtime.scale() == "gpu"
    monkeypatch.setenv("COURSE_SCALE", "smoke")
    assert runtime.scale() == "smoke"


@pytest.mark.parametrize("wrong", ["large", "GPU", "1"])
def test_wrong_scale_is_refused_with_the_allowed_ones(monkeypatch, wrong):
    monkeypatch.setenv("COURSE_SCALE", wrong)
    with pytest.raises(ValueError, match=rf"COURSE_SCALE is '{wrong}'; allowed are smoke, laptop, gpu"):
        runtime.scale()


def test_every_scale_must_be_given():
    with pytest.raises(TypeError):
        runtime.at_scale(smoke=1, laptop=2)


@pytest.mark.parametrize("wrong", ["-1", "1.5", "x", str(2**32), "²"])
def test_wrong_seed_is_refused(monkeypatch, wrong):
    monkeypatch.setenv("COURSE_SEED", wrong)
    with pytest.raises(ValueError, match=r"COURSE_SEED is .*allowed is a whole number from 0 to 4294967295"):
        runtime.seed()


def test_seed_default_and_range(monkeypatch):
    assert runtime.seed() == 0
    for value in (0, 7, 2**32 - 1):
        monkeypatch.setenv("COURSE_SEED", str(value))
        assert runtime.seed() == value
        assert runtime.set_seed() == value


def test_set_seed_repeats_python_and_numpy(monkeypatch):
    monkeypatch.setenv("COURSE_SEED", "5")

    def draw():
        runtime.set_seed()
        return random.random(), np.random.rand()

    first = draw()
    assert draw() == first
    monkeypatch.setenv("COURSE_SEED", "6")
    second = draw()
    assert second[0] != first[0]
    assert second[1] != first[1]


def test_rng_streams(monkeypatch):
    first = runtime.rng("noise").normal(size=4)
    np.testing.assert_array_equal(first, runtime.rng("noise").normal(size=4))
    assert not np.allclose(first, runtime.rng("weights").normal(size=4))
    monkeypatch.setenv("COURSE_SEED", "1")
    assert not np.allclose(first, runtime.rng("noise").normal(size=4))
    with pytest.raises(TypeError, match="stream is 3"):
        runtime.rng(3)


def test_backend_from_variable_and_file(monkeypatch, tmp_path):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert runtime.backend() == "tensorflow"
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "torch"}))
    assert runtime.backend() == "torch"
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert runtime.backend() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "theano")
    with pytest.raises(ValueError, match=r"KERAS_BACKEND names the backend 'theano'; .* tensorflow, jax, torch"):
        runtime.backend()


def test_no_accelerator_no_import(monkeypatch):
    monkeypatch.setattr(runtime, "_accelerator_may_exist", lambda: False)
    monkeypatch.setattr(runtime, "_ask_backend", lambda name: pytest.fail("asked a backend without need"))
    found = runtime.device()
    assert found.kind == "cpu"
    assert found.name
    assert found.count >= 1


def test_gpu_is_the_backends_word(monkeypatch):
    """A machine with a GPU that the backend cannot use computes on its CPU."""
    monkeypatch.setattr(runtime, "_accelerator_may_exist", lambda: True)
    monkeypatch.setattr(runtime, "_ask_backend", lambda name: None)
    assert runtime.device().kind == "cpu"
    monkeypatch.setattr(runtime, "_ask_backend", lambda name: runtime.Device("gpu", name, 1))
    assert runtime.device() == runtime.Device("gpu", "tensorflow", 1)


def test_ask_backend_reads_each_library(monkeypatch):
    """The three libraries' answers, spoken by stand-ins, because no test machine has an accelerator."""
    gpu = object()
    experimental = types.SimpleNamespace(get_device_details=lambda d: {"device_name": "H"})
    tf = types.SimpleNamespace(
        config=types.SimpleNamespace(list_physical_devices=lambda kind: [gpu, gpu], experimental=experimental)
    )
    monkeypatch.setitem(sys.modules, "tensorflow", tf)
    assert runtime._ask_backend("tensorflow") == runtime.Device("gpu", "H", 2)
    for platform, kind in (("tpu", "tpu"), ("cuda", "gpu"), ("gpu", "gpu")):
        chip = types.SimpleNamespace(platform=platform, device_kind="K")
        monkeypatch.setitem(sys.modules, "jax", types.SimpleNamespace(devices=lambda chip=chip: [chip]))
        assert runtime._ask_backend("jax") == runtime.Device(kind, "K", 1)
    cuda = types.SimpleNamespace(is_available=lambda: True, get_device_name=lambda i: "T", device_count=lambda: 4)
    monkeypatch.setitem(sys.modules, "torch", types.SimpleNamespace(cuda=cuda))
    assert runtime._ask_backend("torch") == runtime.Device("gpu", "T", 4)
    monkeypatch.setitem(sys.modules, "torch", None)  # not installed
    assert runtime._ask_backend("torch") is None


def test_hidden_gpus_count_as_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "-1")
    assert not runtime._accelerator_may_exist()


def test_keras_is_seeded_and_deterministic():
    code = """
import keras
from course_lib import runtime
draws = []
for _ in range(2):
    runtime.set_seed()
    draws.append(float(keras.random.normal(())))
import tensorflow as tf
print(draws[0] == draws[1], tf.config.experimental.is_op_determinism_enabled() if hasattr(
    tf.config.experimental, "is_op_determinism_enabled") else None)
print(draws[0])
print(runtime.describe())
"""
    one = fresh_python(code, COURSE_SEED="1").splitlines()
    two = fresh_python(code, COURSE_SEED="2").splitlines()
    assert one[0].startswith("True")
    assert "False" not in one[0]
    assert one[1] != two[1]
    assert "Keras 3" in one[2]
    assert "seed 1" in one[2]


def test_describe_names_what_matters(monkeypatch):
    monkeypatch.setenv("COURSE_SCALE", "smoke")
    text = runtime.describe()
    assert "scale smoke" in text
    assert "seed 0" in text
    assert np.__version__ in text


def test_quiet_stderr_drops_what_libraries_write():
    code = """
import os
from course_lib import runtime
with runtime.quiet_stderr():
    os.write(2, b"noise")
os.write(2, b"after")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == "after"


def test_quiet_stderr_shows_everything_when_the_block_fails():
    code = """
import os
from course_lib import runtime
with runtime.quiet_stderr():
    os.write(2, b"noise")
    raise ValueError("bad")
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert run.stderr.startswith("noise")
    assert "ValueError: bad" in run.stderr
