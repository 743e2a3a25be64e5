"""SIGKILL at random moments; `kills.py` says how. Its command line kills more often."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows has neither fork nor SIGKILL")
def test_killed_runs_end_as_undisturbed_ones():
    program = Path(__file__).with_name("kills.py")
    done = subprocess.run([sys.executable, program, "--kills", "5", "--seed", "1"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 kills" in done.stdout
