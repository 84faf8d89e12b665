"""The words: Fluent texts in Russian and English, and times as people say them."""

from __future__ import annotations

from runner.language.names import Language
from runner.language.translator import Translator

__all__ = ["Language", "Translator"]
