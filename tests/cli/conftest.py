"""What the tests of the command line share."""

from __future__ import annotations

import pytest

from tests.web.site import Work


@pytest.fixture
def work() -> Work:
    return Work()
