"""How much the tests with many random or repeated cases do: less in `make test`, all of it in `make soak`."""

from __future__ import annotations

import os

SOAK = bool(os.environ.get("DOZOR_SOAK"))


def cases(usual: int, soak: int, *, variable: str = "") -> int:
    """How many: the environment's `variable` if it is set, else `soak` in `make soak`, `usual` otherwise."""
    return int(os.environ.get(variable) or (soak if SOAK else usual))
