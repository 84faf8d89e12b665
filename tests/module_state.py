"""What modules of the product remember in variables of their own, which outlives a test.

`tests/house/test_module_state.py` finds every such variable in the sources: it is named here.
"""

from __future__ import annotations

import sys
from typing import Final

FORGOTTEN: Final = (
    ("dozor_market.ton_deposits", "_warned_about"),
    ("dozor_market.ton.wallets.health", "_unmeasured"),
    ("dozor_market.ton.wallets.jettons", "_asked"),
)
"""Cleared after each test: module and variable. Each notes what has been logged or requested once."""

KEPT: Final = {
    ("dozor.config.imports.importing", "_stamps"): "by module, set at its import",
    ("dozor.config.imports.importing", "_under_way"): "a stack: empty when no import runs",
    (
        "dozor.language.process",
        "_of_process",
    ): "set before and after each test by `_english` in tests/conftest.py",
    ("dozor.process.forking", "_kept"): "filled in forked children alone",
    ("dozor.process.forking", "_loops"): "weak: by event loop, and each test has its own",
    ("dozor.process.forking", "_masks"): "by thread: empty when no fork runs",
    ("dozor.process.forking", "_owners"): "weak: by object",
    ("dozor.process.forking", "_signals"): "by signal: what the process has installed",
    ("dozor.process.forking", "generation"): "counted in forked children alone",
    ("dozor.supervision.runs.ownership", "_reporting"): "by thread: false when no hook of a library runs",
    (
        "dozor.supervision.runs.memory",
        "reclaim_memory",
    ): "this process's memory: decides when garbage is collected",
    ("dozor.tracebacks", "_texts"): "by way to an error: what Python would compose again",
}
"""Left as it is, each with the reason for which no test depends on another by it."""


def forget() -> None:
    """Empty the variables of `FORGOTTEN`, where their modules are loaded."""
    for module, name in FORGOTTEN:
        if module in sys.modules:
            getattr(sys.modules[module], name).clear()
