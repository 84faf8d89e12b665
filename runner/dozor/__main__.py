"""`python -m dozor` is `dozor`."""

from __future__ import annotations

from dozor.cli import main

main()
