"""What the benchmarks share: workers that wait their turn, clocks, and a record of the machine.

Every library runs in a process of its own, since Keras takes one backend per process. The processes live through the
whole benchmark and work strictly one after another: the parent asks each in turn for one measurement, round after
round, so that a change in what else the machine does falls on all of them alike.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# What must be installed for a library to take part.
NEEDS = {
    "numpy": ("numpy",),
    "torch": ("torch",),
    "keras-tensorflow": ("keras", "tensorflow"),
    "keras-jax": ("keras", "jax"),
    "keras-torch": ("keras", "torch"),
    # benchmarks/bert.py: a library and how it runs.
    "ours tensorflow": ("keras", "tensorflow"),
    "ours tensorflow-jit": ("keras", "tensorflow"),
    "ours jax": ("keras", "jax"),
    "ours torch": ("keras", "torch"),
    "keras_hub tensorflow": ("keras_hub", "tensorflow"),
    "keras_hub tensorflow-jit": ("keras_hub", "tensorflow"),
    "keras_hub jax": ("keras_hub", "jax"),
    "keras_hub torch": ("keras_hub", "torch"),
    "transformers eager": ("transformers", "torch"),
    "transformers compiled": ("transformers", "torch"),
    "transformers masked eager": ("transformers", "torch"),
}
PACKAGES = ("numpy", "keras", "tensorflow", "jax", "torch", "keras-hub", "transformers")
BACKENDS = ("tensorflow", "jax", "torch")
LEAST_SECONDS = 0.02  # a measurement repeats its step until it lasts this long
Run = Callable[[int], None]  # makes so many steps and waits for the last


def clock(threads: int) -> Callable[[], float]:
    """With one thread, the CPU time of the process: what other processes do hardly counts. Otherwise wall time."""
    return time.process_time if threads == 1 else time.perf_counter


def installed(libraries: list[str]) -> list[str]:
    return [name for name in libraries if all(importlib.util.find_spec(module) for module in NEEDS[name])]


def set_threads(library: str, threads: int) -> None:
    """Limit this process and its library to so many threads, and to as many cores where the system can do that."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    if "transformers" in library or "torch" in library:
        import torch

        torch.set_num_threads(threads)
    elif "tensorflow" in library:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(1)


def serve(library: str, threads: int, prepare: Callable[..., dict[str, Run]], memory: Callable[[], Any] = dict) -> None:
    """Answer the parent's requests: prepare a case, time one of its variants, say what memory it took, drop it."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes elsewhere
    set_threads(library, threads)
    now, runs, repeats = clock(threads), {}, {}
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "prepare":
            runs = prepare(library, **request["case"])
            repeats = {name: _repeats(run, now) for name, run in runs.items()}
            answer: Any = list(runs)
        elif request["do"] == "time":
            name = request["variant"]
            begin = now()
            runs[name](repeats[name])
            answer = (now() - begin) / repeats[name]
        elif request["do"] == "memory":
            answer = memory()
        else:
            runs, repeats, answer = {}, {}, None
        print(json.dumps(answer), file=answers, flush=True)


def _repeats(run: Run, now: Callable[[], float]) -> int:
    run(2)  # compiles, allocates, warms up
    repeats = 1
    while True:
        begin = now()
        run(repeats)
        if (taken := now() - begin) >= LEAST_SECONDS:
            return repeats
        repeats = max(repeats * 2, int(repeats * 1.2 * LEAST_SECONDS / taken) if taken > 0 else 0)


class Workers:
    """One process per library."""

    def __init__(self, script: str, libraries: list[str], threads: int) -> None:
        self.processes = {}
        for library in libraries:
            number = str(threads)
            environment = dict(
                os.environ,
                OMP_NUM_THREADS=number,
                OPENBLAS_NUM_THREADS=number,
                MKL_NUM_THREADS=number,
                KERAS_BACKEND=next((name for name in BACKENDS if name in library), "tensorflow"),
                TF_CPP_MIN_LOG_LEVEL="3",
                CUDA_VISIBLE_DEVICES="-1",
                JAX_PLATFORMS="cpu",
            )
            self.processes[library] = subprocess.Popen(
                [sys.executable, script, "--worker", library, "--threads", number],
                env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            )  # fmt: skip

    def ask(self, library: str, **request: Any) -> Any:
        process = self.processes[library]
        process.stdin.write(json.dumps(request) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {library} worker ended; run the script with --worker {library} to see why")
        return json.loads(line)

    def measure(self, case: dict[str, Any], rounds: int) -> dict[str, list[float]]:
        """Give the seconds per step of every variant of every library, one number per round."""
        variants = [
            (library, variant) for library in self.processes for variant in self.ask(library, do="prepare", case=case)
        ]
        seconds: dict[str, list[float]] = {f"{library} {variant}": [] for library, variant in variants}
        for _ in range(rounds):
            for library, variant in variants:
                seconds[f"{library} {variant}"].append(self.ask(library, do="time", variant=variant))
        for library in self.processes:
            self.ask(library, do="drop")
        return seconds

    def close(self) -> None:
        for process in self.processes.values():
            process.stdin.close()
            process.wait()


def medians(seconds: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in seconds.items()}


def machine(threads: int) -> dict[str, Any]:
    """Record hardware, versions and date."""
    from course_lib import runtime

    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": runtime._cpu_name(),
        "cores": runtime._cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "threads": threads,
        "clock": "CPU time of the process" if threads == 1 else "wall time",
        "versions": {"python": platform.python_version(), **versions},
    }


def table(header: list[str], rows: list[list[str]]) -> str:
    rule = ["---"] + ["---:"] * (len(header) - 1)
    return "\n".join("| " + " | ".join(row) + " |" for row in (header, rule, *rows))


def heading(title: str, record: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return (
        f"## {title}\n\n{record['date']}, {record['processor']} ({record['cores']} cores, {record['system']}), "
        f"{record['threads']} thread(s), {record['clock']}, load at the start {record['load']:.1f}. {versions}.\n"
    )


def save(path: str | None, record: dict[str, Any]) -> None:
    if path:
        Path(path).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
