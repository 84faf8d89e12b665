"""Standard streams that are missing when the process starts. Imports nothing that takes time."""

from __future__ import annotations

import os
import sys


def open_missing_streams() -> None:
    """Descriptors 0 to 2, if they are closed (`>&-`), lead to /dev/null.

    Otherwise the next file or socket that is opened would get such a number, and what is printed would be
    written into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free
            os.set_inheritable(number, True)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 -- for good
