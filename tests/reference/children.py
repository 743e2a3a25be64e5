"""Programs of the tests in processes of their own: Keras takes its backend when it is imported, one a process."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parents[2]


def run_child(*command, backend, **settings):
    """Run Python with `command` from the project's root, with Keras on a backend; give what it printed.

    JAX compiles without most of its optimizations, which take far longer here than they save; other `settings` are
    variables of the environment.
    """
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    usual = {"TF_CPP_MIN_LOG_LEVEL": "3", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "PYTHONPATH": path}
    run = subprocess.run(
        [sys.executable, *map(str, command)], cwd=ROOT, env=os.environ | usual | {"KERAS_BACKEND": backend} | settings,
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert run.returncode == 0, (run.stdout + run.stderr)[-3000:]
    return run.stdout


def arrays(path):
    """Read what a child stored."""
    with np.load(path) as file:
        return {key: file[key] for key in file.files}
