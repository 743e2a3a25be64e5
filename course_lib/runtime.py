"""What this run is: its backend and device, its scale, its seed.

Three environment variables steer a chapter, and this module is the only place that reads them:

``COURSE_SCALE``
    ``smoke`` (seconds, for tests), ``laptop`` (the outputs in the book) or ``gpu``. Unset: ``gpu`` where the Keras
    backend can use an accelerator, ``laptop`` elsewhere.
``COURSE_SEED``
    A whole number from 0 to 2**32 - 1; unset: 0. Every random number of a chapter follows from it.
``KERAS_BACKEND``
    Keras' own variable: ``tensorflow`` (default), ``jax`` or ``torch``.

Nothing here imports Keras unless it is already imported or an accelerator is present.
"""

from __future__ import annotations

import json
import os
import platform
import random
import sys
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

__all__ = [
    "BACKENDS",
    "SCALES",
    "Device",
    "at_scale",
    "backend",
    "describe",
    "device",
    "quiet_stderr",
    "rng",
    "scale",
    "seed",
    "set_seed",
]

SCALES = ("smoke", "laptop", "gpu")
BACKENDS = ("tensorflow", "jax", "torch")
T = TypeVar("T")


@dataclass(frozen=True)
class Device:
    """The device on which the Keras backend computes.

    Attributes
    ----------
    kind : str
        ``"cpu"``, ``"gpu"`` or ``"tpu"``.
    name : str
        The maker's name for it, such as ``"NVIDIA H200"``; for a CPU its model where the system tells.
    count : int
        How many devices of this kind the backend sees; for a CPU the number of logical cores this process may use.
    """

    kind: str
    name: str
    count: int


def backend() -> str:
    """Name the Keras backend of this process without importing Keras.

    Returns
    -------
    str
        One of `BACKENDS`. Where Keras is imported already, what it runs on; otherwise what it would choose:
        ``KERAS_BACKEND``, then ``keras.json`` in Keras' folder, then ``"tensorflow"``.

    Raises
    ------
    ValueError
        If the variable or the file names a backend on which the course does not run.
    """
    if "keras" in sys.modules:
        name, origin = sys.modules["keras"].backend.backend(), "the running Keras"
    elif os.environ.get("KERAS_BACKEND"):
        name, origin = os.environ["KERAS_BACKEND"], "KERAS_BACKEND"
    else:
        config = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras") / "keras.json"
        try:
            name, origin = json.loads(config.read_text()).get("backend", "tensorflow"), str(config)
        except (OSError, ValueError, AttributeError):
            name, origin = "tensorflow", "the default"
    if name not in BACKENDS:
        raise ValueError(f"{origin} names the backend {name!r}; the course runs on {', '.join(BACKENDS)}")
    return name


def device() -> Device:
    """Find the device that the Keras backend computes on.

    A look at the machine comes first, so that a machine without an accelerator answers at once and nothing heavy is
    imported. Where there is one, the backend is asked whether it can use it: a CPU build of TensorFlow on a machine
    with a GPU still computes on the CPU.

    Returns
    -------
    Device
    """
    found = _ask_backend(backend()) if _accelerator_may_exist() else None
    return found or Device("cpu", _cpu_name(), _cpu_count())


def _cpu_count() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows
        return os.cpu_count() or 1


def _accelerator_may_exist() -> bool:
    if os.environ.get("CUDA_VISIBLE_DEVICES", "0").strip() in {"", "-1"}:
        return False
    nodes = ("nvidia[0-9]*", "dxg", "accel*", "kfd")  # NVIDIA, WSL, TPU, AMD
    if any(any(Path("/dev").glob(node)) for node in nodes) or "TPU_NAME" in os.environ:
        return True
    apple = sys.platform == "darwin" and platform.machine() == "arm64"
    return apple or (sys.platform == "win32" and Path(r"C:\Windows\System32\nvcuda.dll").exists())


def _ask_backend(name: str) -> Device | None:
    """Ask one backend for its accelerators; None where it has none or is not installed."""
    try:
        if name == "tensorflow":
            import tensorflow as tf

            gpus = tf.config.list_physical_devices("GPU")
            if not gpus:
                return None
            details = tf.config.experimental.get_device_details(gpus[0])
            return Device("gpu", details.get("device_name", "GPU"), len(gpus))
        if name == "jax":
            import jax

            devices = jax.devices()
            kind = {"cpu": "cpu", "tpu": "tpu"}.get(devices[0].platform, "gpu")
            return None if kind == "cpu" else Device(kind, devices[0].device_kind, len(devices))
        import torch

        if torch.cuda.is_available():
            return Device("gpu", torch.cuda.get_device_name(0), torch.cuda.device_count())
        mps = getattr(torch.backends, "mps", None)
        return Device("gpu", "Apple GPU", 1) if mps is not None and mps.is_available() else None
    except ImportError:
        return None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "CPU"


def scale() -> str:
    """Name the scale of this run.

    Returns
    -------
    str
        ``COURSE_SCALE`` where it is set; otherwise ``"gpu"`` where the backend can use an accelerator and
        ``"laptop"`` elsewhere.

    Raises
    ------
    ValueError
        If ``COURSE_SCALE`` is not one of `SCALES`.
    """
    chosen = os.environ.get("COURSE_SCALE", "").strip()
    if not chosen:
        return "laptop" if device().kind == "cpu" else "gpu"
    if chosen not in SCALES:
        raise ValueError(f"COURSE_SCALE is {chosen!r}; allowed are {', '.join(SCALES)}, or unset it")
    return chosen


def at_scale(*, smoke: T, laptop: T, gpu: T) -> T:
    """Give the value for the scale of this run.

    Parameters
    ----------
    smoke, laptop, gpu : object
        The value at each scale, of any one type. All three must be given, so that no scale is forgotten.

    Returns
    -------
    object
        The one that `scale` names.

    Examples
    --------
    >>> import os
    >>> os.environ["COURSE_SCALE"] = "smoke"
    >>> at_scale(smoke=20, laptop=2_000, gpu=100_000)
    20
    """
    return {"smoke": smoke, "laptop": laptop, "gpu": gpu}[scale()]


def seed() -> int:
    """Give the seed of this run, from ``COURSE_SEED`` (unset: 0).

    Raises
    ------
    ValueError
        If ``COURSE_SEED`` is not a whole number from 0 to 2**32 - 1, the range that NumPy's and Keras' seeds share.
    """
    text = os.environ.get("COURSE_SEED", "0").strip() or "0"
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**32:
        raise ValueError(f"COURSE_SEED is {text!r}; allowed is a whole number from 0 to {2**32 - 1}")
    return int(text)


def rng(stream: str) -> np.random.Generator:
    """Make a random generator of its own for one use.

    Two streams of one seed are independent of each other, so a cell that draws more numbers does not change what a
    later cell draws.

    Parameters
    ----------
    stream : str
        What the numbers are for, such as ``"initial weights"``. The same seed and stream give the same numbers.

    Returns
    -------
    numpy.random.Generator

    Raises
    ------
    TypeError
        If `stream` is not a string.

    Examples
    --------
    >>> bool(rng("noise").normal() == rng("noise").normal())
    True
    """
    if not isinstance(stream, str):
        raise TypeError(f"stream is {stream!r}; it must be a string that says what the numbers are for")
    return np.random.default_rng([seed(), zlib.crc32(stream.encode())])


def set_seed() -> int:
    """Seed Python, NumPy and, once it is imported, Keras with its backend; ask the backend for deterministic kernels.

    Call it after ``import keras`` in a chapter that uses Keras. A chapter that does not pays nothing for Keras.

    Returns
    -------
    int
        The seed, as `seed` gives it.
    """
    value = seed()
    random.seed(value)
    np.random.seed(value)
    keras: Any = sys.modules.get("keras")
    if keras is not None:
        keras.utils.set_random_seed(value)
        if backend() == "tensorflow":
            sys.modules["tensorflow"].config.experimental.enable_op_determinism()
        elif backend() == "torch":
            # warn_only: some CUDA kernels have no deterministic form, and a learner's run should not stop there.
            sys.modules["torch"].use_deterministic_algorithms(True, warn_only=True)
    return value


@contextmanager
def quiet_stderr() -> Iterator[None]:
    """Drop what compiled libraries write to standard error inside the block; if it raises, show it after all.

    TensorFlow logs a few lines while it is imported, before it reads ``TF_CPP_MIN_LOG_LEVEL``. In a notebook Python's
    own warnings and errors do not take this way: they stay visible.

    Examples
    --------
    >>> with quiet_stderr():
    ...     import keras
    """
    sys.stderr.flush()
    with tempfile.TemporaryFile() as kept:
        saved = os.dup(2)
        os.dup2(kept.fileno(), 2)
        failed = True
        try:
            yield
            failed = False
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            if failed:
                kept.seek(0)
                os.write(2, kept.read())


def describe() -> str:
    """Say in one line what this run is, for the top of a chapter's output.

    Returns
    -------
    str
        Scale, seed, Python and NumPy versions, and the device. Keras' version and backend join once it is imported.
    """
    where = device()
    parts = [f"scale {scale()}", f"seed {seed()}", f"Python {platform.python_version()}", f"NumPy {np.__version__}"]
    keras: Any = sys.modules.get("keras")
    if keras is not None:
        parts.append(f"Keras {keras.__version__} on {backend()}")
    unit = "core" if where.kind == "cpu" else "device"
    parts.append(f"{where.kind.upper()} with {where.count} {unit}{'s' if where.count != 1 else ''}")
    return ", ".join(parts)
