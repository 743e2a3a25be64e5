"""The tools that run chapters: what they store, what they notice, what they refuse."""

import http.server
import re
import subprocess
import sys
import threading
from pathlib import Path

import chapters
import claims
import measure
import pytest
import rerun
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

HEADER = {"seconds": 20.0, "peak_mib": 400.0, "calibration_seconds": 1.0}


def notebook(*sources, **course):
    cells = [new_code_cell(source) for source in sources]
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return new_notebook(cells=cells, metadata={"kernelspec": kernel, "course": course})


def printed(cell):
    return "".join(output.get("text", "") for output in cell.outputs)


def test_measuring_stores_outputs_and_figures_that_mean_something(measured_chapter):
    measured = chapters.course(measured_chapter[1])["measured"]
    assert 0.1 < measured["seconds"] < measure.BUDGET_SECONDS
    assert 40 < measured["peak_mib"] < measure.BUDGET_MIB
    assert 0.1 < measured["calibration_seconds"] < 30
    assert set(measured["versions"]) == {"Python", "NumPy"}
    assert re.fullmatch(r"CPU with [12] cores? \(.+\)", measured["device"])
    assert "scale laptop, seed 0" in printed(measured_chapter[1].cells[3])


def watched(source):
    watch = measure.Watch()
    assert chapters.run(notebook(source), scale="laptop", seed=0, before=watch.start, after=watch.stop) == []
    return watch


def test_memory_of_the_kernel_and_its_children_is_seen():
    hold = "held = bytearray(300 * 2**20)"
    child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', '{hold}; import time; time.sleep(1)'])"
    plain, own, other = (watched(source).peak_mib for source in ("1", hold, child))
    assert 290 < own - plain < 400
    assert 290 < other - plain < 400


def test_memory_that_is_held_for_a_moment_is_seen(monkeypatch):
    if not Path("/proc/self/status").exists():
        pytest.skip("only Linux tells the peak of a process")
    monkeypatch.setattr(measure, "_SAMPLE_SECONDS", 60)  # one sample only, before the first cell
    assert watched("held = bytearray(300 * 2**20)\ndel held").peak_mib > 300


def test_time_is_that_of_the_cells():
    assert 2.0 <= watched("import time\ntime.sleep(2)").seconds < 4.0


def test_a_chapter_that_fails_keeps_its_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(measure, "calibrate", lambda: 1.0)
    path = tmp_path / "98_fails.ipynb"
    chapters.write(notebook("print('fine')", "1 / 0"), path)
    before = path.read_text()
    assert measure.main([str(path)]) == 1
    assert "cell 1 (1 / 0): ZeroDivisionError" in capsys.readouterr().out
    assert path.read_text() == before


def test_a_chapter_whose_needs_are_absent_is_not_measured(tmp_path, capsys):
    path = tmp_path / "98_needs.ipynb"
    chapters.write(notebook("print('fine')", needs=["json", "no_such_package"]), path)
    before = path.read_text()
    assert measure.main([str(path)]) == 1
    said = capsys.readouterr().out
    assert "not measured: its stored outputs need no_such_package, which this Python has not" in said
    assert "make measure-backends" in said
    assert path.read_text() == before


def test_needs_that_are_there_stand_in_the_header(monkeypatch):
    monkeypatch.setattr(measure, "calibrate", lambda: 1.0)
    chapter = notebook("import numpy", needs=["psutil"])
    measured, failures = measure.measure(chapter)
    assert failures == []
    assert measured["needs"] == ["psutil"]
    assert set(measured["versions"]) == {"Python", "NumPy", "psutil"}


NATIVE = (
    "WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    "I0000 00:00:1795309361.524120   28012 port.cc:153] oneDNN custom operations are on.\n\n"
)


def test_the_log_of_a_backend_that_starts_is_dropped_and_warnings_are_kept():
    warning = "W0000 00:00:1795309361.524120   28012 port.cc:153] This is one.\nUserWarning: and another\n"
    chapter = notebook("1", "2", "3")
    for cell, (name, text) in zip(
        chapter.cells, [("stderr", NATIVE), ("stderr", NATIVE + warning), ("stdout", NATIVE)], strict=True
    ):
        cell.outputs = [new_output("stream", name=name, text=text)]
    measure.drop_native_log(chapter)
    assert [[output.text for output in cell.outputs] for cell in chapter.cells] == [[], [warning], [NATIVE]]


def test_figures_over_the_budget_are_refused():
    assert measure.over_budget({"seconds": 90.0, "peak_mib": 2048.0}) == []
    assert "budget is 90 s" in measure.over_budget({"seconds": 90.1, "peak_mib": 1.0})[0]
    assert "budget is 2048 MiB" in measure.over_budget({"seconds": 1.0, "peak_mib": 2049.0})[0]


@pytest.mark.parametrize(
    ("now", "refused"),
    [
        ({}, False),
        ({"seconds": 30.0}, False),
        ({"seconds": 30.1}, True),
        ({"seconds": 60.0, "calibration_seconds": 2.0}, False),  # a machine of half the speed
        ({"seconds": 61.0, "calibration_seconds": 2.0}, True),
        ({"seconds": 16.0, "calibration_seconds": 0.5}, True),  # a machine of twice the speed
        ({"peak_mib": 600.0}, False),
        ({"peak_mib": 601.0}, True),
        ({"peak_mib": 601.0, "calibration_seconds": 2.0}, True),
    ],
)
def test_figures_over_the_header_are_refused(now, refused):
    assert bool(measure.over_header(HEADER, {**HEADER, **now})) is refused


def test_a_difference_of_seconds_says_nothing_for_a_short_chapter():
    short = {**HEADER, "seconds": 1.0}
    assert measure.over_header(short, {**short, "seconds": 5.9}) == []
    assert measure.over_header(short, {**short, "seconds": 6.1}) != []


def test_a_download_that_is_not_declared_fails():
    fetch = "import urllib.request\nurllib.request.urlopen('http://example.org', timeout=5)"
    direct = "import socket\nsocket.socket().connect(('192.0.2.1', 80))"
    child = (
        "import subprocess, sys\nrun = subprocess.run([sys.executable, '-c', '''"
        "import urllib.request; urllib.request.urlopen(\"http://example.org\", timeout=5)'''], capture_output=True)\n"
        "assert b'refused' in run.stderr, run.stderr\nassert run.returncode == 0, 'the child was stopped'"
    )
    for source, message in ((fetch, "refused"), (direct, "does not declare"), (child, "the child was stopped")):
        (failure,) = chapters.run(notebook(source), scale="smoke", seed=0)
        assert message in failure


def test_a_declared_host_is_let_through_and_no_other():
    fetch = "import socket\nsocket.getaddrinfo('{}', 80)"
    declared = {"downloads": [{"host": "nowhere.invalid", "megabytes": 1.0, "what": "nothing"}]}
    (passed,) = chapters.run(notebook(fetch.format("nowhere.invalid"), **declared), scale="smoke", seed=0)
    assert "does not declare" not in passed  # the guard let it through; no such host exists
    (failure,) = chapters.run(notebook(fetch.format("example.org"), **declared), scale="smoke", seed=0)
    assert "the chapter reaches for example.org, which course.downloads in its metadata does not declare" in failure


def test_this_machine_may_be_reached():
    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    source = f"import socket\nsocket.create_connection(('localhost', {server.server_port}), timeout=5).close()"
    assert chapters.run(notebook(source), scale="smoke", seed=0) == []
    server.shutdown()


def test_scale_and_seed_reach_the_chapter_and_every_failure_is_told():
    source = "from course_lib import runtime\nprint(runtime.scale(), runtime.seed())"
    spoiled = notebook(source, "1 / 0", "missing")
    failures = chapters.run(spoiled, scale="smoke", seed=7)
    assert printed(spoiled.cells[0]) == "smoke 7\n"
    assert [failure.split(":")[1].strip() for failure in failures] == ["ZeroDivisionError", "NameError"]
    assert [cell.execution_count for cell in spoiled.cells] == [1, 2, 3]


def exercise(number, *code):
    return new_markdown_cell(
        f"### Exercise {number} (code)\n\nDo.\n\n<details>\n<summary>Solution</summary>\n\n"
        + "\n\n".join(f"```python\n{part}\n```" for part in code)
        + "\n\n```text\nnot Python\n```\n\n</details>"
    )


def test_solutions_run_in_the_namespace_of_the_chapter_each_in_its_own_copy():
    chapter = notebook("value = 2")
    chapter.cells += [exercise(1, "value = 3\nown = value", "assert own == 3"), exercise(2, "assert value == 2")]
    assert rerun.rerun(chapter, "98_x") == []
    chapter.cells += [
        exercise(3, "own"),
        exercise(4, "assert value == 5, 'no'"),
        exercise(5, "def f():\n  return value\nf()"),
    ]
    first, second = rerun.rerun(chapter, "98_x")
    assert "the solution of exercise 3): NameError" in first
    assert "the solution of exercise 4): AssertionError: no" in second


def test_a_rerun_leaves_the_chapter_alone(chapter):
    before = str(chapter)
    assert rerun.rerun(chapter, "98_square_roots") == []
    assert str(chapter) == before


@pytest.mark.parametrize("body", ["return (x + a / x) / 2", "return (x + a * x) / 2"])
def test_a_definition_that_differs_from_the_package_is_noticed(tmp_path, monkeypatch, body):
    monkeypatch.setattr(chapters, "DEFINITIONS", tmp_path)
    (tmp_path / "chapter_98.py").write_text(
        "def check_step(notebook, rng):\n"
        "    x, a = rng.uniform(1, 2, 2)\n"
        "    assert abs(notebook(x, a) - (x + a / x) / 2) < 1e-12\n"
    )
    failures = rerun.rerun(notebook(f"def step(x, a):\n    {body}"), "98_x")
    assert bool(failures) is ("*" in body)
    assert all("step as the notebook defines it" in failure for failure in failures)


CLAIMS = """
from course_lib import runtime
from course_lib.claims import above, below, claim
claim("Steady", below(0.5, 1.0), value=0.5)
claim("Close", below(0.95 + 0.01 * runtime.seed(), 1.0), value=0.95 + 0.01 * runtime.seed())
claim(f"Seed {runtime.seed()} | small", runtime.seed() < 3)
"""


def test_claims_are_tabled_over_the_seeds(tmp_path, capsys):
    path = tmp_path / "98_claims.ipynb"
    chapters.write(notebook(CLAIMS), path)
    written = tmp_path / "table.md"
    command = [str(path), "--scale", "smoke", "--output", str(written), "--seeds"]
    assert claims.main([*command, "0", "2"]) == 0
    text = capsys.readouterr().out
    assert "| Steady | 2/2 | 0.5 < 1 (seed 0) | 50% | value 0.5 |" in text
    assert "| Close | 2/2 | 0.97 < 1 (seed 2) | 3% (thin) | value 0.95 to 0.97 |" in text
    assert "- thin: holds by 3.0% only (seed 2): Close" in text
    assert "FAILED" not in text
    assert text in written.read_text() + "\n"
    assert claims.main([*command, "2", "3"]) == 1
    text = capsys.readouterr().out
    assert "- FAILED: holds under 1 of 2 seeds: Seed 3 \\| small (False)" in text
    assert "- FAILED: seed 3: cell 0" in text


def test_a_seed_that_skips_a_claim_fails():
    row = {"sentence": "S", "holds": True, "condition": "True", "margin": None, "measured": {}}
    assert claims.table([claims.Run(0, [row], []), claims.Run(1, [row], [])])[1] == []
    assert "differs by seed: {0: 1, 1: 0}" in claims.table([claims.Run(0, [row], []), claims.Run(1, [], [])])[1][0]


def test_a_broken_claim_is_the_worst_also_when_it_is_nan():
    good = {"sentence": "S", "holds": True, "condition": "0 < 1", "margin": -0.5, "measured": {"x": "0"}}
    nan = {"sentence": "S", "holds": False, "condition": "nan < 1", "margin": float("nan"), "measured": {"x": "nan"}}
    for order in ([good, nan], [nan, good]):
        rows, faults, _ = claims.table([claims.Run(seed, [row], []) for seed, row in enumerate(order)])
        assert "nan < 1" in rows[-1]
        assert faults == ["holds under 1 of 2 seeds: S (nan < 1)"]


def nbval(*paths):
    """Run nbval as the Makefile does, under the project's pytest configuration."""
    command = [sys.executable, "-m", "pytest", "--nbval-lax", "--nbval-current-env", "-p", "no:cacheprovider", "-q"]
    config = ["-c", str(chapters.ROOT / "pyproject.toml"), "--rootdir", str(chapters.ROOT)]
    return subprocess.run(
        [*command, *config, *map(str, paths)], capture_output=True, text=True, timeout=300, check=False
    )


def test_nbval_compares_the_marked_outputs_and_no_others(chapter, path, tmp_path):
    changed = tmp_path / "98_changed.ipynb"
    for cell in chapters.code_cells(chapter):
        for output in cell.outputs:
            if output.output_type == "stream":
                output.text = "something else\n"
    chapters.write(chapter, changed)
    result = nbval(path, changed)
    cells = len(chapters.code_cells(chapter))
    assert f"1 failed, {2 * cells - 1} passed" in result.stdout, result.stdout[-2000:]
    assert re.search(r"FAILED .*::Cell 3\b", result.stdout)  # the marked one, counted among the code cells
