"""Run chapters from a fresh kernel, store their outputs, and write what the run cost into their headers.

::

    python tests/notebooks/measure.py [notebooks/NN_slug.ipynb ...]

Each runs at laptop scale, seed 0, on two cores. The time of a fixed workload is measured in the same session and
stored with it, so that a check on another machine can compare times as multiples of that workload.

A chapter whose ``course.needs`` names a package that is not installed beside this program is not measured: its stored
outputs would lack a part that readers should see. `make measure-backends` has an environment for it.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
import threading
import time
from pathlib import Path
from typing import Any

import chapters
import numpy as np
import psutil
import stamp
from nbclient import NotebookClient
from nbformat import NotebookNode

from course_lib import runtime

BUDGET_SECONDS = 90.0
BUDGET_MIB = 2048.0
TOLERANCE = 1.5  # how far over its header a later run may be
NOISE_SECONDS = 5.0  # a smaller difference says nothing on a shared machine
CORES = 2
_SAMPLE_SECONDS = 0.05
# The names under which the field knows the packages that chapters import; the header gives their versions.
_NAMES = {
    "jax": "JAX",
    "keras": "Keras",
    "matplotlib": "Matplotlib",
    "numpy": "NumPy",
    "scipy": "SciPy",
    "sklearn": "scikit-learn",
    "tensorflow": "TensorFlow",
    "torch": "PyTorch",
}


def calibrate() -> float:
    """Time a fixed workload of Python and NumPy on one thread; half a second on a laptop.

    Returns
    -------
    float
        Seconds. No part of it uses a threaded library, whose speed would depend on the free cores.
    """
    start = time.perf_counter()
    total = 0
    for number in range(5_000_000):
        total += number & 7
    values = np.linspace(0.0, 1.0, 1_000_000)
    for _ in range(20):
        values = np.sort(np.sin(values[::-1] * 3.0) + values)
    if not (total == 17_500_000 and np.isfinite(values).all()):
        raise ArithmeticError("the calibration computed something else")
    return time.perf_counter() - start


class Watch:
    """Time between the first cell and the last, and the peak memory of the kernel with its child processes."""

    def __init__(self) -> None:
        self.seconds = self.peak_mib = 0.0
        self._done = threading.Event()

    def start(self, client: NotebookClient) -> None:
        self._process = psutil.Process(client.km.provisioner.process.pid)
        if hasattr(self._process, "cpu_affinity"):  # not on macOS
            self._process.cpu_affinity(self._process.cpu_affinity()[:CORES])
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        self._begun = time.perf_counter()

    def _sample(self) -> None:
        while True:
            resident = 0
            for process in (self._process, *_children(self._process)):
                try:
                    resident += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            self.peak_mib = max(self.peak_mib, resident / 2**20)
            if self._done.wait(_SAMPLE_SECONDS):
                return

    def stop(self, client: NotebookClient) -> None:
        self.seconds = time.perf_counter() - self._begun
        self._done.set()
        self._thread.join()
        self.peak_mib = max(self.peak_mib, _high_water_mib(self._process.pid))


def _high_water_mib(pid: int) -> float:
    """Ask Linux for the process' own peak, which also knows what came and went between two samples; else 0."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0.0
    found = re.search(r"^VmHWM:\s+(\d+) kB", status, re.MULTILINE)
    return int(found[1]) / 1024 if found else 0.0


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


# TensorFlow's C++ part tells what it found before it reads TF_CPP_MIN_LOG_LEVEL. Only that notice and lines of the
# level INFO match; a warning stays, and the lint refuses it.
_NATIVE_LOG = re.compile(
    r"^(?:WARNING: All log messages before absl::InitializeLog\(\)|"
    r"I\d{4} \d\d:\d\d:\d+\.\d+ +\d+ \S+\.cc:\d+\]).*\n?|^\n",
    re.MULTILINE,
)


def drop_native_log(notebook: NotebookNode) -> None:
    """Take what TensorFlow's start says of the machine out of the outputs, in place."""
    for cell in chapters.code_cells(notebook):
        for output in cell.outputs:
            if output.get("name") == "stderr":
                output.text = _NATIVE_LOG.sub("", output.text)
        cell.outputs = [output for output in cell.outputs if output.get("name") != "stderr" or output.text]


def missing_needs(notebook: NotebookNode) -> list[str]:
    """Name the packages of ``course.needs`` that are not installed here, in the environment of the kernel too."""
    return [name for name in chapters.course(notebook).get("needs", []) if importlib.util.find_spec(name) is None]


def versions(notebook: NotebookNode) -> dict[str, str]:
    """Give the versions of Python and of what the chapter imports or needs, under the names of the field."""
    distributions = importlib.metadata.packages_distributions()
    found = {"Python": platform.python_version()}
    needs = set(chapters.course(notebook).get("needs", []))
    for package in sorted((chapters.imports(notebook) | needs) - {"course_lib"}):
        if package in distributions and package not in sys.stdlib_module_names:
            found[_NAMES.get(package, package)] = importlib.metadata.version(distributions[package][0])
    return found


def _device() -> str:
    """Name the processor without the clock rate and the marks that some makers put into the name."""
    name = re.sub(r"\((R|TM)\)|\bCPU\b|@.*", "", runtime.device().name)
    cores = min(CORES, runtime.Device("cpu", "", os.cpu_count() or 1).count)
    return f"CPU with {cores} core{'s' if cores != 1 else ''} ({' '.join(name.split())})"


def measure(notebook: NotebookNode) -> tuple[dict[str, Any], list[str]]:
    """Run a chapter in place at laptop scale and seed 0.

    Returns
    -------
    measured : dict
        What the header shows.
    failures : list of str
        One text for each cell that failed; the figures mean nothing unless it is empty.
    """
    watch, before = Watch(), calibrate()
    # The processor is what the header speaks of, also where there is an accelerator.
    hidden = {"CUDA_VISIBLE_DEVICES": "-1"}
    failed = chapters.run(notebook, scale="laptop", seed=0, environment=hidden, before=watch.start, after=watch.stop)
    drop_native_log(notebook)
    return {
        "seconds": round(watch.seconds, 2),
        "peak_mib": round(watch.peak_mib, 1),
        "calibration_seconds": round((before + calibrate()) / 2, 3),
        "downloads": copy.deepcopy(chapters.course(notebook).get("downloads", [])),
        "needs": copy.deepcopy(chapters.course(notebook).get("needs", [])),
        "device": _device(),
        "versions": versions(notebook),
        "date": datetime.date.today().isoformat(),
        "scale": "laptop",
        "seed": 0,
        "code": chapters.code_hash(notebook),
    }, failed


def over_budget(measured: dict[str, Any]) -> list[str]:
    """Say which figure is over what any chapter may cost."""
    faults = []
    if measured["seconds"] > BUDGET_SECONDS:
        faults.append(f"the run took {measured['seconds']:.1f} s; the budget is {BUDGET_SECONDS:g} s")
    if measured["peak_mib"] > BUDGET_MIB:
        faults.append(f"the run took {measured['peak_mib']:.0f} MiB; the budget is {BUDGET_MIB:g} MiB")
    return faults


def over_header(header: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Say which figure of a new run is over `TOLERANCE` times what the header says.

    Times are compared as multiples of the calibration of their own session; a difference that is under
    `NOISE_SECONDS` on this machine never counts.
    """
    faults = []
    expected = header["seconds"] * now["calibration_seconds"] / header["calibration_seconds"]
    if now["seconds"] > max(TOLERANCE * expected, expected + NOISE_SECONDS):
        faults.append(
            f"the run took {now['seconds']:.1f} s; the header says {header['seconds']:.1f} s, which is "
            f"{expected:.1f} s on this machine: find what became slow, or run make measure"
        )
    if now["peak_mib"] > TOLERANCE * header["peak_mib"]:
        faults.append(f"the run took {now['peak_mib']:.0f} MiB; the header says {header['peak_mib']:.0f} MiB")
    return faults


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", help="default: every chapter")
    bad = 0
    for path in chapters.paths(parser.parse_args(arguments).notebooks):
        notebook = chapters.read(path)
        if missing := missing_needs(notebook):
            print(
                f"{path.name}: not measured: its stored outputs need {', '.join(missing)}, which this Python has not. "
                f"Run `make measure-backends NB=notebooks/{path.name}`.",
                flush=True,
            )
            bad += 1
            continue
        stamp.stamp(notebook, stamp.address())
        measured, failed = measure(notebook)
        faults = failed or over_budget(measured)
        print(
            f"{path.name}: {measured['seconds']:.1f} s, {measured['peak_mib']:.0f} MiB", *faults, sep="\n  ", flush=True
        )
        bad += bool(faults)
        if failed:
            continue  # the file keeps the outputs of its last good run
        notebook.metadata.setdefault("course", {})["measured"] = measured
        chapters.write(stamp.stamp(notebook, stamp.address()), path)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
