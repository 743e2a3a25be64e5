"""Write the two generated cells of a chapter: its setup and its measured header.

Run it after a change of the text or of the address in ``_config.yml``; nothing is executed::

    python tests/notebooks/stamp.py [notebooks/NN_slug.ipynb ...]
"""

from __future__ import annotations

import argparse
import copy
import math
import re
from pathlib import Path

import chapters
import yaml
from nbformat import NotebookNode

SETUP = """\
# Setup, written by `make stamp`: installs the course's package where it is missing.
import importlib.util
import os
import subprocess
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # before TensorFlow is imported
ADDRESS = "{address}"
if importlib.util.find_spec("course_lib") is None:
    if not ADDRESS:
        raise ModuleNotFoundError(
            "The package course_lib is not installed, and the course has no public address yet. "
            "Download the course, open a terminal in its folder, run `pip install .`, and restart "
            "this notebook."
        )
    print(f"Installing course_lib from {{ADDRESS}} ...")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", f"git+{{ADDRESS}}"]
    result = subprocess.run(pip, capture_output=True, text=True)
    if result.returncode != 0:
        raise RuntimeError(f"pip could not install course_lib from {{ADDRESS}}:\\n{{result.stderr}}")
    importlib.invalidate_caches()
"""

# How fast a student reads: prose with formulas, and code that has to be understood.
WORDS_PER_MINUTE = 130
CODE_LINES_PER_MINUTE = 12


def address(config: Path = chapters.ROOT / "_config.yml") -> str:
    """Give the course's public address: ``repository: url:`` of the book's configuration, or ``""`` while it is unset.

    Raises
    ------
    ValueError
        If it is anything that would not stand unchanged in a string of the setup cell.
    """
    if not config.exists():
        return ""
    found = ((yaml.safe_load(config.read_text(encoding="utf-8")) or {}).get("repository") or {}).get("url") or ""
    if found and not re.fullmatch(r"(https|file)://[\w./~@:+-]+", found):
        raise ValueError(f"repository: url: in {config.name} is {found!r}; it must start with https:// or be empty")
    return found


def setup_source(where: str) -> str:
    return SETUP.format(address=where).rstrip("\n")


def reading_minutes(notebook: NotebookNode) -> int:
    """Estimate the reading time from words and code lines, in steps of five minutes; folded parts do not count."""
    words = lines = 0
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and "measured" not in chapters.tags(cell):
            words += len(re.sub(r"<details>.*?</details>", "", cell.source, flags=re.DOTALL).split())
        elif cell.cell_type == "code" and "setup" not in chapters.tags(cell):
            lines += sum(bool(line.strip()) for line in cell.source.splitlines())
    return 5 * max(1, math.ceil((words / WORDS_PER_MINUTE + lines / CODE_LINES_PER_MINUTE) / 5))


def measured_source(notebook: NotebookNode) -> str:
    """Write the header's table from the metadata that ``make measure`` stored."""
    rows = [("Reading time", f"about {reading_minutes(notebook)} minutes")]
    measured = chapters.course(notebook).get("measured")
    if measured:
        versions = sorted(measured["versions"].items(), key=lambda item: (item[0] != "Python", item[0].lower()))
        downloads = [
            f"{entry['what']} ({entry['megabytes']:g} MB from {entry['host']})" for entry in measured["downloads"]
        ]
        rows += [
            ("Run time", f"{math.ceil(measured['seconds'])} s at {measured['scale']} scale, {measured['device']}"),
            ("Peak memory", f"{math.ceil(measured['peak_mib'])} MiB"),
            ("Downloads", ", ".join(downloads) or "none"),
            ("Versions", ", ".join(f"{name} {version}" for name, version in versions)),
            ("Measured on", f"{measured['date']}, by `make measure`"),
        ]
    else:
        rows.append(("Run time", "not measured yet"))
    return "\n".join(
        ["| This chapter | Measured |", "| --- | --- |", *(f"| {name} | {value} |" for name, value in rows)]
    )


def stamp(notebook: NotebookNode, where: str) -> NotebookNode:
    """Write both generated cells in place; a chapter that lacks one of them is left for the lint to refuse."""
    for cell in chapters.tagged(notebook, "setup"):
        cell.source = setup_source(where)
    for cell in chapters.tagged(notebook, "measured"):
        cell.source = measured_source(notebook)
    return notebook


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", nargs="*", help="default: every chapter")
    for path in chapters.paths(parser.parse_args(arguments).notebooks):
        notebook = chapters.read(path)
        before = copy.deepcopy(notebook)
        if stamp(notebook, address()) != before:
            print(f"stamped {path.name}")
        chapters.write(notebook, path)


if __name__ == "__main__":
    main()
