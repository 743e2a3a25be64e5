"""Run chapters again at smoke scale with another seed, then their exercises' solutions and their definitions.

::

    python tests/notebooks/rerun.py [--seed 1] [--scale smoke] [notebooks/NN_slug.ipynb ...]

The files stay as they are. Each solution runs in a copy of the chapter's namespace, as a reader would run it. Each
definition that also stands in the package is given, with a random generator, to its function in ``definitions/``.
"""

from __future__ import annotations

import argparse
import ast
import copy
import sys
from pathlib import Path

import chapters
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from course_lib.runtime import SCALES

ROUNDS = 3  # random problems on which a definition is compared


def solution_cells(notebook: NotebookNode) -> list[NotebookNode]:
    """Make a cell for each exercise whose solution holds Python."""
    return [
        new_code_cell(
            f"# the solution of exercise {exercise.number}\n"
            f"exec(compile({chr(10).join(exercise.code)!r}, 'exercise {exercise.number}', 'exec'), dict(globals()))"
        )
        for exercise in chapters.exercises(notebook)
        if exercise.code
    ]


def comparison_cells(file: Path) -> list[NotebookNode]:
    """Make a cell for each ``check_name`` function of a definitions file, which need not exist."""
    body = ast.parse(file.read_text(encoding="utf-8")).body if file.exists() else []
    checks = [node.name for node in body if isinstance(node, ast.FunctionDef) and node.name.startswith("check_")]
    return [
        new_code_cell(
            f"# {check.removeprefix('check_')} as the notebook defines it and as course_lib ships it\n"
            "import runpy as _runpy, numpy as _numpy\n"
            f"_check = _runpy.run_path({str(file)!r})[{check!r}]\n"
            f"for _round in range({ROUNDS}):\n"
            f"    _check({check.removeprefix('check_')}, _numpy.random.default_rng(_round))"
        )
        for check in checks
    ]


def rerun(notebook: NotebookNode, slug: str, *, scale: str = "smoke", seed: int = 1) -> list[str]:
    """Run a copy of the chapter with its solutions and comparisons; give one text for each cell that failed."""
    whole = copy.deepcopy(notebook)
    whole.cells += solution_cells(notebook) + comparison_cells(chapters.comparisons(slug))
    return chapters.run(whole, scale=scale, seed=seed)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", help="default: every chapter")
    parser.add_argument("--scale", choices=SCALES, default="smoke")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    bad = 0
    for path in chapters.paths(options.notebooks):
        faults = rerun(chapters.read(path), path.stem, scale=options.scale, seed=options.seed)
        print(f"{path.name}: {'failed' if faults else 'as it should be'}", *faults, sep="\n  ", flush=True)
        bad += bool(faults)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
