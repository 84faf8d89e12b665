"""Redaction: removes secrets from logs, messages and database rows.

Whatever may hold the words of an exception, a URL or a request passes here on its way out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from urllib.parse import quote

MASK = "***"
SHORTEST = 4
"""Characters. A shorter literal would blot out ordinary words; patterns still hide it in a URL."""
LONGEST_ENCODED = 4_096
"""Characters. A longer secret, such as a whole file, is in no URL; its pattern would take a minute."""
MOST_PLAIN = 10_000
MOST_PLAIN_CHARACTERS = 2_000_000
"""Of texts without a secret that a `Redactor` remembers: names of tasks, log lines and tracebacks come again
and again. Together they take a few megabytes at most."""
LONGEST_PLAIN = 8_000
"""Characters of the longest text that it remembers."""

# Every pattern begins with something of bounded length, so that a megabyte is read once.
# https://core.telegram.org/bots/api#authorizing-your-bot: "123456:ABC-DEF1234ghIkl-zyx57W2v1u123ew11"
_TELEGRAM_TOKEN = re.compile(r"(?<![0-9])([0-9]{6,20}(?::|%3[Aa]))[A-Za-z0-9_-]{30,}")
_VALUE = r"(\"[^\"\n]*\"|'[^'\n]*'|[^\s,;&)}\]\"']+)"
_LONG_NAMES = r"password|passwd|passphrase|pwd|secret|token|api[_-]?key|private[_-]?key"
# A short name only where a word begins: not "monkey", "compass", "author".
_SHORT_NAMES = r"(?<![a-z])(?:pass|auth|key|pin)|(?-i:(?<=[a-z])(?:Pass|Auth|Key|Pin))"
_ASSIGNED = re.compile(
    rf"((?:{_LONG_NAMES}|{_SHORT_NAMES})[\"']?\s{{0,3}}=\s{{0,3}}"
    rf"|(?:{_LONG_NAMES}|{_SHORT_NAMES})[\"']\s{{0,3}}:\s{{0,3}}"
    rf"|(?:password|passwd|passphrase|pwd|(?<![a-z])pass|[a-z0-9][_-](?:key|token|secret|auth|pin))"
    rf"\s{{0,3}}:\s{{0,3}})" + _VALUE,
    re.IGNORECASE,
)
# After a colon these are in ordinary messages too: only what has a digit and no sentence after it.
_LABELLED = re.compile(
    r"((?<![a-z])(?:key|token|secret|auth)\s{0,3}:\s{0,3})(?=[^\s\"']{0,40}[0-9])[^\s,;&)}\]\"']{8,}",
    re.IGNORECASE,
)
_COOKIE = re.compile(
    r"((?:set-)?cookies?(?:\"|')?\s{0,3}:\s{0,3})(\"[^\"\n]*\"|'[^'\n]*'|[^\"'\s][^\"'\n]*)"
    r"|(cookies?\s{0,3}=\s{0,3})(\"[^\"\n]*\"|'[^'\n]*'|[^\s,&)}\]\"']+)",
    re.IGNORECASE,
)
# RFC 7519 and 7516: three to five parts in base64url, the first of which is JSON and begins with '{"'.
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*){2,4}")
_PEM = re.compile(r"-----BEGIN ((?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?)-----")
_AUTHORIZATION = re.compile(
    r"(authorization[\"']?\s{0,3}[:=]\s{0,3}[\"']?(?:[a-z]{1,20}\s{1,3})?)[^\s\"',;]+", re.IGNORECASE
)
_BEARER = re.compile(r"(\bbearer\s{1,3})[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE)
_SECRET_WORDS = ("pass", "pwd", "secret", "token", "key", "auth", "pin")
"""One of them is in whatever `_LABELLED` or `_ASSIGNED` matches, in small letters."""
_FOLDED = re.compile("[\u0130\u0131\u017f\u212a]")
"""Not ASCII, and the same as an ASCII letter where a pattern ignores case: see `re.IGNORECASE`."""
_URL_END = re.compile(r"[\s\"'<>`]")
_PORT = re.compile(r"[0-9]{1,5}[/?#]")

_SURROGATE = re.compile("[\ud800-\udfff]")


def clean(text: str) -> str:
    """`text` as PostgreSQL can store it and UTF-8 can carry it.

    NULs go; two halves of a character become that character, a lone half becomes U+FFFD.
    """
    if "\0" not in text and (text.isascii() or not _SURROGATE.search(text)):
        return text
    joined = text.replace("\0", "").encode("utf-16-le", "surrogatepass")
    return joined.decode("utf-16-le", "replace")


class Redactor:
    """Hides the literal secrets that it was given, and whatever looks like one.

    Linear in the length of the text. Safe to call from threads once its secrets are registered.
    """

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._literals: tuple[str, ...] = ()
        self._encoded: re.Pattern[str] | None = None
        self._secrets: set[str] = set()
        self._plain = _PlainTexts()
        self.register(*secrets)

    def register(self, *secrets: str) -> None:
        """Hide these from now on, in their plain, escaped and URL-encoded forms.

        A text shorter than `SHORTEST` is passed over; one longer than `LONGEST_ENCODED` is not looked for in
        its URL-encoded form.
        """
        self._secrets.update(secret for secret in map(clean, secrets) if len(secret) >= SHORTEST)
        literals = {form for secret in self._secrets for form in _written(secret)}
        self._literals = tuple(sorted(literals))
        encodable = (secret for secret in self._secrets if len(secret) <= LONGEST_ENCODED)
        encoded = "|".join(_encoded(secret) for secret in sorted(encodable, key=len, reverse=True))
        self._encoded = re.compile(encoded) if encoded else None
        self._plain = _PlainTexts()  # last: what is looked at meanwhile is remembered by the one before

    def redact(self, text: str) -> str:
        """`text`, cleaned (see `clean`), with every secret replaced by `***`."""
        if type(text) is not str or len(text) > LONGEST_PLAIN:  # a subclass may compare as it likes
            return self._redact(text)
        plain = self._plain
        if text in plain.texts:
            return text
        redacted = self._redact(text)
        if redacted == text:
            plain.add(text)
        return redacted

    def _redact(self, text: str) -> str:
        text = clean(text)
        spans = self._find(text)
        while spans:
            text = _mask(text, spans)
            # Only a secret that itself holds the mask's character can appear anew; each turn is shorter.
            spans = self._find(text) if any("*" in literal for literal in self._literals) else []
        return _patterns(text)

    def _find(self, text: str) -> list[tuple[int, int]]:
        spans = []
        for literal in self._literals:
            at = text.find(literal)
            while at >= 0:
                spans.append((at, at + len(literal)))
                # By one, not by its length: of overlapping occurrences no tail may remain.
                at = text.find(literal, at + 1)
        if self._encoded is not None and ("%" in text or "+" in text):
            spans.extend(match.span() for match in self._encoded.finditer(text))
        return spans


class _PlainTexts:
    """Texts in which nothing is hidden."""

    __slots__ = ("_characters", "texts")

    def __init__(self) -> None:
        self.texts: set[str] = set()
        self._characters = 0

    def add(self, text: str) -> None:
        if len(self.texts) >= MOST_PLAIN or self._characters > MOST_PLAIN_CHARACTERS:
            self.texts, self._characters = set(), 0
        self.texts.add(text)
        self._characters += len(text)


def _written(secret: str) -> set[str]:
    """A secret as it is, in JSON, and in Python's repr of a string."""
    return {
        secret,
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        secret.replace("\\", "\\\\"),
    }


def _encoded(secret: str) -> str:
    """A pattern of `secret` with any of its characters percent-encoded, once or more often."""
    parts = []
    for character in secret:
        codes = quote(character, safe="") if not character.isascii() else f"%{ord(character):02X}"
        forms = [re.escape(character), "".join(f"%(?:25){{0,3}}{_any_case(c)}" for c in codes[1:].split("%"))]
        if character == " ":
            forms.append(r"\+")
        parts.append(f"(?:{'|'.join(forms)})")
    return "".join(parts)


def _any_case(code: str) -> str:
    return "".join(f"[{digit.upper()}{digit.lower()}]" if digit.isalpha() else digit for digit in code)


def _mask(text: str, spans: list[tuple[int, int]]) -> str:
    """`text` with each run of overlapping or touching spans replaced by one mask."""
    spans.sort()
    parts: list[str] = []
    kept = 0
    start, end = spans[0]
    for following, following_end in spans[1:]:
        if following > end:
            parts += text[kept:start], MASK
            kept = end
            start, end = following, following_end
        else:
            end = max(end, following_end)
    parts += text[kept:start], MASK, text[end:]
    return "".join(parts)


def _patterns(text: str) -> str:
    """Each pattern is asked only of a text that has one of its words: to look for a word takes a small part
    of the time, and most texts have none.
    """
    if "://" in text:
        text = _mask_passwords_in_urls(text)
    if "-----BEGIN " in text:
        text = _mask_private_keys(text)
    words = text.lower() if text.isascii() or not _FOLDED.search(text) else None
    if ":" in text or "%3" in text:
        text = _TELEGRAM_TOKEN.sub(rf"\1{MASK}", text)
    if "eyJ" in text:
        text = _JWT.sub(MASK, text)
    if words is None or "cookie" in words:
        text = _COOKIE.sub(rf"\1\3{MASK}", text)
    if words is None or "authorization" in words:
        text = _AUTHORIZATION.sub(rf"\1{MASK}", text)
    if words is None or "bearer" in words:
        text = _BEARER.sub(rf"\1{MASK}", text)
    if words is None or any(word in words for word in _SECRET_WORDS):
        text = _LABELLED.sub(rf"\1{MASK}", text)
        text = _ASSIGNED.sub(rf"\1{MASK}", text)
    return text


def _mask_private_keys(text: str) -> str:
    """Of one without an end everything behind its first line is hidden."""
    parts: list[str] = []
    at = 0
    while (begin := _PEM.search(text, at)) is not None:
        end = text.find("-----END ", begin.end())
        parts += text[at : begin.end()], MASK
        at = len(text) if end < 0 else end
    return "".join([*parts, text[at:]])


def _mask_passwords_in_urls(text: str) -> str:
    """`scheme://user:***@host`. A password may hold an unescaped / or @: the last @ ends it."""
    first, *rest = text.split("://")
    pieces = [first]
    for piece in rest:
        end = _URL_END.search(piece)
        url = piece[: end.start()] if end else piece
        at = url.rfind("@")
        colon = url.find(":", 0, at) if at > 0 else -1
        if colon >= 0 and "/" not in url[:colon] and not _PORT.match(url, colon + 1):
            piece = f"{url[: colon + 1]}{MASK}{piece[at:]}"
        pieces.append(piece)
    return "://".join(pieces)
