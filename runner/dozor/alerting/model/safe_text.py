"""Makes text of exceptions and checkers safe to show: whatever it contains, it must not lose an alert."""

from __future__ import annotations

import re
import unicodedata

ELLIPSIS = "…"
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONG = 20_000
"""Characters processed of a text that is cut anyway."""

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_UNFIT = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff" + "".join(sorted(_BIDI)) + "]")
_LINE_ENDS = re.compile("[\r\x0b\x0c\x85\u2028\u2029]")
_JOINER = "\u200d"
_LONGEST_CLUSTER = 16


def clean(text: str) -> str:
    """No NUL, control characters, lone surrogates or direction overrides; at most one empty line in a row."""
    text = text[:LONG].replace("\r\n", "\n").replace("\t", "    ")
    shown = text
    if not (text.isascii() and text.isprintable()):
        shown = _UNFIT.sub(REPLACEMENT, _LINE_ENDS.sub("\n", text))
    while "\n\n\n" in shown:
        shown = shown.replace("\n\n\n", "\n\n")
    return shown.strip()


def printable(text: str) -> str:
    """For a file: every line as it is, without NUL, control characters, lone surrogates or overrides."""
    return _UNFIT.sub(REPLACEMENT, text.replace("\r\n", "\n"))


def one_line(text: str) -> str:
    """Cleaned, with line ends as spaces."""
    return " ".join(clean(text).split())


def utf16_length(text: str) -> int:
    """Length in UTF-16 code units, as the Bot API counts offsets."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2


def shorten(text: str, limit: int) -> str:
    """At most `limit` UTF-16 units, an ellipsis in place of the rest; no character is cut in two."""
    if utf16_length(text) <= limit:
        return text
    left, end = limit - utf16_length(ELLIPSIS), 0
    for character in text:
        left -= 2 if character > "\uffff" else 1
        if left < 0:
            break
        end += 1
    start = end
    while start > 0 and end - start < _LONGEST_CLUSTER and _joins(text, start):
        start -= 1
    if start > 0 and not _joins(text, start):
        end = start
    return text[:end].rstrip() + ELLIPSIS


def _joins(text: str, at: int) -> bool:
    """Whether a cut before `text[at]` parts what is drawn as one: a mark, a joined emoji, a flag."""
    after, before = text[at], text[at - 1]
    if (
        _JOINER in (after, before)
        or unicodedata.combining(after)
        or unicodedata.category(after) in ("Mn", "Me")
    ):
        return True
    if "\U0001f3fb" <= after <= "\U0001f3ff":  # skin tones
        return True
    flag = 0  # letters of flags before the cut: they go in pairs
    while flag < at and "\U0001f1e6" <= text[at - 1 - flag] <= "\U0001f1ff":
        flag += 1
    return "\U0001f1e6" <= after <= "\U0001f1ff" and flag % 2 == 1
