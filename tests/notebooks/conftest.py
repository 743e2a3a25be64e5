import copy

import chapters
import measure
import pytest
import template


@pytest.fixture(scope="session")
def measured_chapter(tmp_path_factory):
    """The template's chapter as `make measure` leaves it: run at laptop scale, its header written."""
    path = tmp_path_factory.mktemp("chapters") / "98_square_roots.ipynb"
    chapters.write(template.chapter(path.stem, "Square roots"), path)
    assert measure.main([str(path)]) == 0
    return path, chapters.read(path)


@pytest.fixture
def path(measured_chapter):
    return measured_chapter[0]


@pytest.fixture
def chapter(measured_chapter):
    """A copy of the good chapter, for a test to spoil."""
    return copy.deepcopy(measured_chapter[1])
