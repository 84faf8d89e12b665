"""The words: Fluent texts in Russian and English, and times as people say them."""

from __future__ import annotations

from dozor.language.names import Language
from dozor.language.process import msg
from dozor.language.translator import Translator

__all__ = ["Language", "Translator", "msg"]
