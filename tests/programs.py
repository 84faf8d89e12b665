"""Programs of the system that some tests drive: a browser, Prometheus.

`make test` needs nothing but Python, so without them those tests are skipped, and the end of the report says
so. `.ci/run` installs them and sets DOZOR_CI: there, a missing one fails.
"""

from __future__ import annotations

import os
import shutil

import pytest

missing: dict[str, str] = {}
"""What was looked for in vain: program -> Debian's package."""


def require(package: str, *names: str) -> str:
    """The path of the first of `names` that is there."""
    for name in names:
        found = shutil.which(name)
        if found is not None:
            return found
    missing[names[0]] = package
    text = f"{names[0]} is not installed (Debian: apt-get install {package}; .ci/run does it)"
    if os.environ.get("DOZOR_CI"):
        pytest.fail(text)
    pytest.skip(text)
