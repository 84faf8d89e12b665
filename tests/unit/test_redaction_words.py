"""Patterns are asked only of texts with their words: the answer is that of all patterns, in every case."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dozor import redaction
from dozor.redaction import MASK, Redactor
from tests.effort import cases

PARTS = (
    "password",
    "PASSWD=",
    "passphrase: ",
    "pwd",
    "Secret",
    "token",
    "TOKEN=",
    "api_key",
    "api-key: ",
    "private key",
    "privateKey=",
    "monkey",
    "compass",
    "auth",
    "userAuth=",
    "pin",
    "PIN: ",
    "spin=",
    "cookie",
    "Set-Cookie: ",
    "cookies = ",
    "authorization",
    "Authorization: Basic ",
    "bearer ",
    "Bearer",
    "eyJhbGciOi.eyJzdWIiOiIx.c2ln",
    "123456789:AAF-abcdefghijklmnopqrstuvwxyz_0123",
    "123456789%3AAAF-abcdefghijklmnopqrstuvwxyz_0123",
    ": ",
    "=",
    " = ",
    "'",
    '"',
    " ",
    "\n",
    ",",
    "hunter2",
    "a1b2c3d4e5f6",
    "x",
    "задача",
    "to\u212aen=",
    "\u212aey: k9",
    "pa\u017f\u017fword=",
    "p\u0131n=",
    "AP\u0130_KEY=",
    "author\u0131zation: ",
    "https://u:p@h/?token=abcdefgh1",
    "_",
    "-",
    "é",
)


def every_pattern(text: str) -> str:
    """`_patterns` without looking for words first."""
    text = redaction._mask_private_keys(redaction._mask_passwords_in_urls(text))
    text = redaction._TELEGRAM_TOKEN.sub(rf"\1{MASK}", text)
    text = redaction._JWT.sub(MASK, text)
    text = redaction._COOKIE.sub(rf"\1\3{MASK}", text)
    for pattern in (
        redaction._AUTHORIZATION,
        redaction._BEARER,
        redaction._LABELLED,
        redaction._ASSIGNED,
    ):
        text = pattern.sub(rf"\1{MASK}", text)
    return text


@settings(max_examples=cases(100, 400), deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=4)), max_size=14).map("".join))
def test_no_text_is_redacted_otherwise_than_by_all_patterns(text: str) -> None:
    assert redaction._patterns(text) == every_pattern(text)


@pytest.mark.parametrize(
    "text",
    ["to\u212aen=hunter2", "PA\u017f\u017fWORD: hunter2", "AP\u0130_KEY=hunter2", "p\u0131n=hunter2"],
)
def test_letters_that_only_look_like_those_of_a_name_hide_nothing_from_the_patterns(text: str) -> None:
    assert "hunter2" not in every_pattern(text)
    assert "hunter2" not in Redactor().redact(text)


def test_a_text_without_such_words_is_not_searched_by_the_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    class Never:
        def sub(self, *_: object) -> str:
            raise AssertionError("searched")

    for name in ("_COOKIE", "_AUTHORIZATION", "_BEARER", "_LABELLED", "_ASSIGNED", "_JWT"):
        monkeypatch.setattr(redaction, name, Never())
    text = "Error in background task task_1 (attempt 3/5): the provider does not answer"
    assert Redactor().redact(text) == text


def test_the_words_are_in_every_name_that_is_a_secrets() -> None:
    names = re.split(r"\|", redaction._LONG_NAMES.replace("[_-]?", "_"))
    for name in (*names, "pass", "auth", "key", "pin", "token", "secret"):
        assert any(word in name for word in redaction._SECRET_WORDS), name
