"""Comments of transfers: how they are matched with the codes of invoices, and how they are shown. Pure.

Payers copy a code from a message or type it on a telephone: in another letter case, in full-width
letters, with quotes around it, with invisible characters. None of that makes it another code.
A comment is written by a stranger and shown to people on call, so links, mentions and commands in it must not
become clickable in Telegram.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from dozor.language import msg

SHOWN: Final = 60
"""Characters of a comment shown."""
QUOTES: Final = "\"'`´«»‹›“”„‟‘’‚‛「」『』〈〉《》〝〞〟"
INVISIBLE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cn", "Co", "Cs"})
"""Control, format, unassigned, private use, surrogates. White space among them is kept."""
INVISIBLE: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(code)
    for first, last in ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF), (0x180B, 0x180F))
    for code in range(first, last + 1)
}
"""Characters of other categories that are not drawn: fillers, the blank of Braille, variation selectors.
Source: Unicode's DerivedCoreProperties.txt, Default_Ignorable_Code_Point."""
_DOT: Final = re.compile(r"(?<=\w)[.。．｡](?=\w)")
_COMMAND: Final = re.compile(r"(?<![\w/\]])/(?=\w)")


def comment_key(text: str) -> str:
    """What is compared: case-folded, NFKC, without invisible characters, white space and quotes around it.

    White space within is kept as single spaces. Empty: the text is nobody's code.
    """
    folded = unicodedata.normalize("NFKC", _visible(text)).casefold()
    visible = _visible(unicodedata.normalize("NFKC", folded))
    return " ".join(visible.split()).strip(QUOTES + " ")


def _visible(text: str) -> str:
    return "".join(char for char in text if char.isspace() or not _is_invisible(char))


def _is_invisible(char: str) -> bool:
    return char in INVISIBLE or unicodedata.category(char) in INVISIBLE_CATEGORIES


def harmless(text: str) -> str:
    """The text with every link, mention and command of Telegram broken: "https[:]//t[.]me/x", "[@]x".

    NFKC first: Telegram also links full-width letters.
    """
    plain = unicodedata.normalize("NFKC", _visible(text))
    plain = _DOT.sub("[.]", plain.replace("://", "[:]//"))
    return _COMMAND.sub("[/]", plain).replace("@", "[@]")


def shown(comment: str | None) -> str:
    """A comment for an alert or a list, shortened and harmless."""
    if comment is None:
        return msg("log-ton-no-comment")
    return msg("log-ton-comment", comment=repr(harmless(comment)[:SHOWN]))
