"""The project's own files agree with each other: pyproject.toml, environment.yml, constraints.txt, README, Makefile."""

import re
import runpy
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]


def requirements(lines):
    return {canonicalize_name(r.name): str(r.specifier) for r in map(Requirement, lines)}


def test_environment_yml_gives_conda_users_the_same_set():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    ours = requirements(PROJECT["dependencies"] + EXTRAS["book"] + EXTRAS["test"])
    assert requirements(line for line in pip if line != "-e .") == ours
    assert "-e ." in pip
    (python,) = (e for e in environment["dependencies"] if isinstance(e, str) and e.startswith("python"))
    assert python.removeprefix("python").startswith(PROJECT["requires-python"])


def test_dependencies_are_ranges():
    for line in PROJECT["dependencies"] + [line for extra in EXTRAS.values() for line in extra]:
        assert "==" not in str(Requirement(line).specifier), f"{line}: a hard pin breaks Colab"


def test_extras_of_the_design():
    assert set(EXTRAS) == {"book", "test", "reference", "gpu", "dev"}
    assert not [line for line in EXTRAS["test"] if "torch" in line], "make test needs no PyTorch"


def test_constraints_pin_each_dependency_once_within_its_range():
    lines = [x for x in (ROOT / "constraints.txt").read_text().splitlines() if x and not x.startswith("#")]
    pins = [Requirement(line) for line in lines]
    names = [canonicalize_name(p.name) for p in pins]
    assert len(names) == len(set(names))
    version = {name: next(iter(pin.specifier)).version for name, pin in zip(names, pins, strict=True)}
    assert all(next(iter(pin.specifier)).operator == "==" for pin in pins)
    for extra in ("book", "test", "reference"):
        for line in PROJECT["dependencies"] + EXTRAS[extra]:
            need = Requirement(line)
            assert need.specifier.contains(version[canonicalize_name(need.name)]), line


def test_make_words_named_in_the_prose_exist():
    words = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.M))
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "book").rglob("*.md")):
        for word in re.findall(r"`make ([a-z-]+)[^`]*`", page.read_text()):
            assert word in words, f"{page.name} names `make {word}`"


def test_contributing_lists_every_make_word_that_checks():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    for word in ("test", "test-reference", "claims", "measure", "mutants", "benchmarks", "strict-book", "notebooks"):
        assert f"`make {word}`" in text


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]


def tracked_text_files():
    listing = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listing.returncode:
        pytest.skip("not a git checkout")
    kinds = {".py", ".md", ".yml", ".toml", ".ipynb", ".cff", ""}
    return [
        ROOT / line for line in listing.stdout.splitlines() if Path(line).suffix in kinds and (ROOT / line).exists()
    ]


def test_no_machine_path_in_any_file():
    # Put together from parts, so that this file does not hold them itself.
    pattern = re.compile(r"(?<![\w.])/(" + "|".join(["ro" + "ot", "wo" + "rk", "ho" + r"me/\w"]) + r")/")
    hits = [str(path.relative_to(ROOT)) for path in tracked_text_files() if pattern.search(path.read_text("utf-8"))]
    assert not hits


def test_every_mutant_still_fits_the_code():
    """The mutants run for an hour, so seldom; what they replace must not go stale in between, or be lost."""
    seen, faults = {}, []
    for path in sorted((ROOT / "tests" / "mutants").glob("[a-z]*.py")):
        part = runpy.run_path(str(path))
        for file, mutants in part["MUTANTS"].items():
            if file in seen:
                faults.append(f"{file} has mutants in {path.name} and in {seen[file]}; the second list hides the first")
            seen[file] = path.name
            text = (ROOT / file).read_text(encoding="utf-8")
            faults += [f"{name}: {text.count(old)} times in {file}" for name, old, _ in mutants if text.count(old) != 1]
            faults += [f"{name} changes nothing" for name, old, new in mutants if old == new]
            faults += [
                f"{file}: no {test}" for test in part["TESTS"][file] if not (ROOT / test.split("::")[0]).exists()
            ]
    assert faults == []
    assert len(seen) > 20
