"""Break the package on purpose, one small change at a time, and see the tests notice each.

``python tests/mutants`` runs them all, and ``python tests/mutants adam clip`` those with one of these words in
their name or file. Every mutant is a copy of the package and of the tests in a folder of its own; the working tree is
read only. The run fails if a mutant survives, or if the text that it replaces is not there exactly once.

Each file beside this one holds the mutants of a part of the package: TESTS says which tests must notice a change of a
file, and MUTANTS lists (name, old text, new text) under the file that they change. To add some, add to these.
"""

import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROCESSES = 2
PARTS = [
    importlib.import_module(path.stem) for path in sorted(Path(__file__).parent.glob("*.py")) if path.stem != "__main__"
]
TESTS = {file: tests for part in PARTS for file, tests in part.TESTS.items()}
MUTANTS = {file: mutants for part in PARTS for file, mutants in part.MUTANTS.items()}


# In the copy: whatever the installation says, its own package is the one that is imported. Hypothesis draws the same
# examples every time, and does not shrink the one that fails, which costs more than finding it.
CONFTEST = """
from pathlib import Path

import course_lib
from hypothesis import Phase, settings

settings.register_profile("mutants", phases=[Phase.explicit, Phase.generate], derandomize=True, database=None)
settings.load_profile("mutants")

assert Path(course_lib.__file__).parents[1] == Path(__file__).parent, course_lib.__file__
"""


def run(file: str, old: str, new: str, tests: list[str]) -> tuple[int, str]:
    """Run tests on a copy in which one text is replaced; give pytest's exit code and last words."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        unwanted = shutil.ignore_patterns("__pycache__", ".*")
        for part in ("course_lib", "tests"):
            shutil.copytree(ROOT / part, copy / part, ignore=unwanted)
        shutil.copy(ROOT / "pyproject.toml", copy)
        (copy / "conftest.py").write_text(CONFTEST)
        if file:
            text = (copy / file).read_text()
            if text.count(old) != 1:
                return -1, f"its old text stands {text.count(old)} times in {file}, not once"
            (copy / file).write_text(text.replace(old, new))
        options = ["-x", "-q", "--no-header", "--tb=line", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:nbval"]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *tests],
            cwd=copy,
            env=os.environ | {"PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=600,
        )
        failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        return done.returncode, failed[0] if failed else (done.stdout + done.stderr)[-2000:]


def main(words: list[str]) -> int:
    """Run the mutants whose name or file holds one of the words, or all; give the exit code."""
    chosen = [
        (file, name, old, new)
        for file, mutants in MUTANTS.items()
        for name, old, new in mutants
        if not words or any(word in f"{file} {name}" for word in words)
    ]
    if not chosen:
        print(f"no mutant has one of {words} in its name or file")
        return 1
    all_tests = sorted({test for file, *_ in chosen for test in TESTS[file]})
    code, output = run("", "", "", all_tests)
    if code != 0:
        print(f"the tests fail without any mutation (pytest's exit code {code}):\n{output}")
        return 1
    print(f"unchanged: passes {' '.join(all_tests)}")
    with ThreadPoolExecutor(PROCESSES) as pool:
        results = pool.map(lambda mutant: run(mutant[0], mutant[2], mutant[3], TESTS[mutant[0]]), chosen)
        bad = 0
        for (_file, name, _old, _new), (code, output) in zip(chosen, results, strict=True):
            # 1: a test failed. Anything else (no such text, a broken import, no test found) proves nothing.
            caught = code == 1
            bad += not caught
            said = output.split(" - ")[0].removeprefix("FAILED ") if caught else "SURVIVES" if code == 0 else output
            print(f"{'caught  ' if caught else 'NOT OK  '} {name}: {said}", flush=True)
    print(f"{len(chosen) - bad} of {len(chosen)} mutants caught")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
