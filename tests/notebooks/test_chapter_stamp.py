"""The setup cell does what it says where the package is missing, and the generated cells follow their sources."""

import os
import subprocess
import sys
import venv
from pathlib import Path

import chapters
import pip
import pytest
import stamp
import template

# A package of the course's name that brings its own build backend, so that pip needs neither a network nor setuptools.
PYPROJECT = """
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
"""
BACKEND = """
import zipfile
def build_wheel(folder, *settings):
    name, info = "course_lib-99-py3-none-any.whl", "course_lib-99.dist-info"
    with zipfile.ZipFile(f"{folder}/{name}", "w") as wheel:
        wheel.writestr("course_lib.py", "HERE = 'from the repository'")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\\nName: course_lib\\nVersion: 99\\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        wheel.writestr(f"{info}/RECORD", "")
    return name
"""


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory):
    """An interpreter without course_lib that installs into itself and asks no network."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, with_pip=False, symlinks=True)
    tools = folder / "tools"
    tools.mkdir()
    (tools / "pip").symlink_to(Path(pip.__file__).parent, target_is_directory=True)
    environment = {**os.environ, "PYTHONPATH": str(tools), "PIP_NO_INDEX": "1"}
    environment.pop("TF_CPP_MIN_LOG_LEVEL", None)

    def run(code):
        python = folder / "bin" / "python"
        command = [python, "-c", code]
        return subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, timeout=120)

    return run


@pytest.fixture
def repository(tmp_path):
    """The address of a git repository that holds a package named course_lib."""
    folder = tmp_path / "course"
    folder.mkdir()
    (folder / "backend.py").write_text(BACKEND)
    (folder / "pyproject.toml").write_text(PYPROJECT)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder.as_uri()


def test_where_the_package_is_missing_and_no_address_is_set_the_cell_says_what_to_do(bare_python):
    run = bare_python(stamp.setup_source(""))
    assert run.returncode == 1
    assert "ModuleNotFoundError: The package course_lib is not installed" in run.stderr
    assert "pip install ." in run.stderr
    assert "http" not in run.stderr  # no dead link


def test_an_address_that_cannot_be_reached_is_named_with_what_pip_says(bare_python, tmp_path):
    run = bare_python(stamp.setup_source(f"file://{tmp_path}/nothing"))
    assert run.returncode == 1
    assert f"RuntimeError: pip could not install course_lib from file://{tmp_path}/nothing" in run.stderr
    assert "git clone" in run.stderr


def test_where_the_package_is_missing_it_is_installed_from_the_address(bare_python, repository):
    code = stamp.setup_source(repository)
    run = bare_python(f"{code}\nimport course_lib\nprint(course_lib.HERE)")
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == [f"Installing course_lib from {repository} ...", "from the repository"]
    again = bare_python(f"{code}\nprint(os.environ['TF_CPP_MIN_LOG_LEVEL'])")
    assert again.stdout == "3\n", "installed already: the cell is silent"


@pytest.mark.parametrize("where", ["", "https://example.org/course"])
def test_where_the_package_stands_the_cell_does_nothing(where):
    code = f"import subprocess\nsubprocess.run = None\n{stamp.setup_source(where)}"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_address_comes_from_the_book_configuration(tmp_path):
    config = tmp_path / "_config.yml"
    assert stamp.address(config) == ""
    for text, address in {
        "title: x": "",
        "repository:\n  url:": "",
        "repository:\n  url: ''": "",
        "repository:\n  url: https://github.com/org/repo": "https://github.com/org/repo",
    }.items():
        config.write_text(text)
        assert stamp.address(config) == address


@pytest.mark.parametrize("url", ["github.com/org/repo", "https://x.org/a'b", 'https://x.org/"; exit()'])
def test_an_address_that_cannot_stand_in_the_cell_is_refused(tmp_path, url):
    config = tmp_path / "_config.yml"
    config.write_text(f"repository:\n  url: {url!r}")
    with pytest.raises(ValueError, match=r"repository: url: in _config\.yml"):
        stamp.address(config)


def test_the_setup_cell_is_plain_code_of_at_most_25_lines():
    lines = [
        line for line in stamp.setup_source("https://github.com/some-organisation/some-course").splitlines() if line
    ]
    assert len(lines) <= 25


def test_a_new_address_leaves_the_measured_figures_valid(chapter):
    before = chapters.code_hash(chapter)
    assert chapters.code_hash(stamp.stamp(chapter, "https://example.org/course")) == before
    chapters.code_cells(chapter)[1].source += " "
    assert chapters.code_hash(chapter) != before


def test_stamping_writes_the_header_from_the_metadata(chapter):
    before = chapter.cells[1].source
    chapter.metadata["course"]["measured"].update(seconds=12.1, peak_mib=300.2, date="2026-01-02")
    assert "| Run time | 13 s" in stamp.stamp(chapter, "").cells[1].source
    assert "| Peak memory | 301 MiB |" in chapter.cells[1].source
    assert "2026-01-02" in chapter.cells[1].source
    assert before != chapter.cells[1].source
    chapter.metadata["course"]["measured"]["downloads"] = [{"host": "x.org", "megabytes": 11.5, "what": "MNIST"}]
    assert "| Downloads | MNIST (11.5 MB from x.org) |" in stamp.measured_source(chapter)


def test_a_chapter_that_was_never_measured_says_so():
    assert "| Run time | not measured yet |" in template.chapter("98_square_roots", "Square roots").cells[1].source


def test_reading_time_counts_words_and_code_but_not_what_is_folded(chapter):
    start = stamp.reading_minutes(chapter)
    chapter.cells[-1].source += "\n\n<details>\n" + "word " * 10_000 + "\n</details>"
    assert stamp.reading_minutes(chapter) == start
    chapter.cells[-1].source += " word" * 20 * stamp.WORDS_PER_MINUTE
    assert stamp.reading_minutes(chapter) == start + 20
    next(c for c in chapters.code_cells(chapter) if "setup" not in chapters.tags(c)).source += (
        "\nx = 1" * 10 * stamp.CODE_LINES_PER_MINUTE
    )
    assert stamp.reading_minutes(chapter) == start + 30


def test_the_command_stamps_files(tmp_path, capsys):
    path = tmp_path / "98_square_roots.ipynb"
    notebook = template.chapter(path.stem, "Square roots")
    chapters.tagged(notebook, "setup")[0].source = "old"
    chapters.write(notebook, path)
    stamp.main([str(path)])
    assert capsys.readouterr().out == "stamped 98_square_roots.ipynb\n"
    assert chapters.tagged(chapters.read(path), "setup")[0].source == stamp.setup_source(stamp.address())
    stamp.main([str(path)])
    assert capsys.readouterr().out == ""
