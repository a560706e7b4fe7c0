"""The small assignment as fixtures."""

import pytest
from small import make_source

from minida.classroom.format import write


@pytest.fixture
def source():
    return make_source()


@pytest.fixture
def folder(tmp_path, source):
    """The folder of sources that holds the assignment `small`."""
    target = tmp_path / "source" / "small" / "small.ipynb"
    target.parent.mkdir(parents=True)
    write(source, target)
    return target.parents[1]
