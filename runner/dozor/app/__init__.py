"""The composition root, and the public `Runner`."""

from __future__ import annotations

from dozor.app.runner import VERSION, Runner

__all__ = ["VERSION", "Runner"]
