"""The benchmarks still run and still print their tables; what they measure is for an idle machine to say."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("script", "options", "row"),
    [
        ("optimizers.py", ["--sizes", "1000", "--optimizers", "sgd,adam", "--libraries", "numpy"], "adam"),
        ("autodiff.py", ["--networks", "16-16-10", "--batch", "8", "--libraries", "numpy"], "`autodiff`"),
        ("vision.py", ["--side", "8", "--batch", "2", "--libraries", "keras-tensorflow"], "tensorflow"),
        ("recurrent.py", ["--shapes", "4-5-3-4", "--libraries", "keras-tensorflow"], "keras-tensorflow"),
        (
            "transformer.py",
            ["--layers", "1", "--width", "8", "--heads", "2", "--libraries", "keras-tensorflow"],
            "tensorflow",
        ),
        (
            "bert.py",
            [
                *("--layers", "1", "--width", "8", "--heads", "2", "--hidden", "8", "--length", "20", "--batch", "2"),
                *("--vocabulary", "20", "--ways", "ours tensorflow", "--tasks", "train,infer,generate"),
                *("--parts", "tasks,curves,profile", "--curves", "vocabulary"),
            ],
            "ours tensorflow",
        ),
        ("text.py", ["--documents", "60"], "WordPiece"),
        ("linear_regression.py", ["--batches", "1000", "--libraries", "numpy"], "`minimize`"),
    ],
)
def test_a_benchmark_runs(script, options, row, tmp_path):
    out = tmp_path / "out.json"
    command = [sys.executable, str(ROOT / "benchmarks" / script), *options, "--rounds", "1", "--json", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert any(line.startswith("|") and row in line for line in done.stdout.splitlines()), done.stdout
    assert json.loads(out.read_text())


def test_the_results_page_shows_the_tables_that_are_stored():
    scripts = {path.stem for path in (ROOT / "benchmarks").glob("[a-z]*.py")}
    stored = {path.stem for path in (ROOT / "benchmarks" / "results").glob("*.md")}
    page = (ROOT / "book" / "results.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"\{include\} \.\./benchmarks/results/(\w+)\.md", page))
    assert shown == stored
    assert stored <= scripts
