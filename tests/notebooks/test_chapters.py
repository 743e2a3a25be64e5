"""Every chapter of the course: its form, its cost, and what it says under another seed."""

import chapters
import lint
import measure
import pytest
import rerun

ATTEMPTS = 3  # machines are shared: the best of them counts
CHAPTERS = [pytest.param(path, id=path.stem) for path in chapters.paths()]


@pytest.mark.parametrize("path", CHAPTERS)
def test_form(path):
    assert lint.lint(chapters.read(path), path) == []


@pytest.mark.notebook
@pytest.mark.parametrize("path", CHAPTERS)
def test_another_seed_the_solutions_and_the_definitions(path):
    assert rerun.rerun(chapters.read(path), path.stem) == []


@pytest.mark.notebook
@pytest.mark.timed
@pytest.mark.parametrize("path", CHAPTERS)
def test_cost_is_within_the_budget_and_what_the_header_says(path):
    header = chapters.course(chapters.read(path))["measured"]
    for _ in range(ATTEMPTS):
        now, failures = measure.measure(chapters.read(path))
        assert failures == []
        faults = measure.over_budget(now) + measure.over_header(header, now)
        if not faults:
            return
    pytest.fail("\n".join(faults))
