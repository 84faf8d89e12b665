from __future__ import annotations

import json
import time
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dozor.redaction import (
    LONGEST_PLAIN,
    MASK,
    MOST_PLAIN,
    MOST_PLAIN_CHARACTERS,
    SHORTEST,
    Redactor,
    clean,
)
from tests.effort import cases

TOKEN = "123456789:AAF-abcdefghijklmnopqrstuvwxyz_0123"

SECRETS = st.text(min_size=SHORTEST, max_size=30).map(clean).filter(lambda text: len(text) >= SHORTEST)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"https://api.telegram.org/bot{TOKEN}/getMe", f"https://api.telegram.org/bot123456789:{MASK}/getMe"),
        (f"token {TOKEN.replace(':', '%3A')}!", f"token 123456789%3A{MASK}!"),
        ("postgresql://dozor:hunter2@db:5432/x", f"postgresql://dozor:{MASK}@db:5432/x"),
        ("postgresql://dozor:p@ss/w:rd@db/x", f"postgresql://dozor:{MASK}@db/x"),
        ("'socks5://u:pw@h:1' and http://a:b@c", f"'socks5://u:{MASK}@h:1' and http://a:{MASK}@c"),
        ("redis://:pw@h", f"redis://:{MASK}@h"),
        ("password=hunter2 user=x", f"password={MASK} user=x"),
        ("host=db PASSWORD = 'a b' x", f"host=db PASSWORD = {MASK} x"),
        ('{"password": "hun ter2", "a": 1}', f'{{"password": {MASK}, "a": 1}}'),
        ("?api_key=abc&x=1", f"?api_key={MASK}&x=1"),
        ("X-API-Key: abc", f"X-API-Key: {MASK}"),
        ("Authorization: Bearer abc.def", f"Authorization: Bearer {MASK}"),
        ("{'Authorization': 'Basic Zm9v'}", f"{{'Authorization': 'Basic {MASK}'}}"),
        ("sent bearer abcdefgh123", f"sent bearer {MASK}"),
    ],
)
def test_what_looks_like_a_secret_is_hidden(text: str, expected: str) -> None:
    assert Redactor().redact(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "http://127.0.0.1:8080/path?mail=a@b",
        "https://host/users/a:b@c",
        'password authentication failed for user "x"',
        "at 12:30:45 2024-01-01, ratio 1:2, -1001234567890:17",
        "Ошибка в фоновой задаче presale_checker (попытка 1/5): нет связи",
        "unexpected token: ')' at line 3",
    ],
)
def test_harmless_text_is_left_alone(text: str) -> None:
    assert Redactor().redact(text) == text


def test_a_registered_secret_is_hidden_in_every_form_it_is_written() -> None:
    secret = "p@ss wörd/\"x\\y'"
    redactor = Redactor([secret])
    forms = [
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote(secret, safe="").lower(),
        quote_plus(secret),
        quote(quote(secret, safe=""), safe=""),
        "".join(f"%{byte:02x}" for byte in secret.encode()),
        json.dumps(secret)[1:-1],
        repr(secret)[1:-1],
    ]
    for form in forms:
        assert redactor.redact(f"before {form} after") == f"before {MASK} after"


def test_of_overlapping_secrets_no_part_remains() -> None:
    redactor = Redactor(["abcdef", "defghi", "cdef"])
    assert redactor.redact("<abcdefghi>") == f"<{MASK}>"
    assert Redactor(["abab"]).redact("<ababab>") == f"<{MASK}>"


def test_a_short_text_is_not_taken_for_a_secret() -> None:
    assert Redactor(["a", "", "abc"]).redact("a cab abc") == "a cab abc"


def test_secrets_can_be_registered_later() -> None:
    redactor = Redactor(["first-secret"])
    redactor.register("second-secret")
    assert redactor.redact("first-secret second-secret") == f"{MASK} {MASK}"


@given(SECRETS, st.text(), st.text())
def test_a_registered_secret_never_survives(secret: str, before: str, after: str) -> None:
    redactor = Redactor([secret])
    for form in (secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]):
        redacted = redactor.redact(f"{before}{form}{after}")
        assert secret not in redacted
        if len(form) > len(MASK) and form not in clean(before + MASK + after):
            assert form not in redacted


@given(st.lists(SECRETS, max_size=4), st.text())
def test_text_without_secrets_keeps_what_is_not_masked(secrets: list[str], text: str) -> None:
    redacted = Redactor(secrets).redact(text)
    assert redacted == clean(text) or MASK in redacted


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    once = Redactor().redact(text)
    assert Redactor().redact(once) == once


@pytest.mark.parametrize(
    "unit",
    [
        "a", "1", "://a:", "password=", "password='", "%41", "%", "123456:", "bearer ", " ", "s3cr", "*", "@",
        "authorization:",
    ],
)  # fmt: skip
def test_a_long_text_is_read_in_linear_time(unit: str) -> None:
    redactor = Redactor([TOKEN, "s3cret-pass word", "aaaa", "hunter2hunter2", "another one", "****"])
    length = cases(100_000, 1_000_000)
    text = unit * (length // len(unit))
    started = time.process_time()
    redactor.redact(text)
    # Seconds of CPU; a megabyte takes less than half of one. Quadratic would be minutes.
    assert time.process_time() - started < length / 100_000


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\0b", "ab"),
        ("\ud83d\ude00", "😀"),
        ("x\ud83dy", "x�y"),
        ("x\ude00", "x�"),
        ("😀\0\udc80", "😀�"),
    ],
)
def test_text_is_made_storable(text: str, expected: str) -> None:
    assert clean(text) == expected


@given(st.text(alphabet=st.characters(codec=None)))
def test_clean_text_is_utf8_without_nul(text: str) -> None:
    cleaned = clean(text)
    cleaned.encode()
    assert "\0" not in cleaned
    assert clean(cleaned) == cleaned


def test_a_text_that_was_seen_before_a_secret_was_registered_is_looked_at_again() -> None:
    redactor = Redactor()
    text = "the key of the till is marzipan"
    assert redactor.redact(text) == text
    redactor.register("marzipan")
    assert redactor.redact(text) == f"the key of the till is {MASK}"


def test_texts_that_are_remembered_take_a_bounded_part_of_memory() -> None:
    redactor = Redactor(["marzipan"])
    for number in range(3 * MOST_PLAIN):
        redactor.redact(f"line {number}")
    assert 0 < len(redactor._plain.texts) <= MOST_PLAIN
    for number in range(1_000):
        redactor.redact(f"{number} {'x' * LONGEST_PLAIN}"[:LONGEST_PLAIN])
    kept = sum(map(len, redactor._plain.texts))
    assert 0 < kept <= MOST_PLAIN_CHARACTERS + LONGEST_PLAIN


def test_nothing_with_a_secret_is_remembered_and_nothing_that_compares_by_itself() -> None:
    class Same(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return hash("plain")

    redactor = Redactor(["marzipan"])
    assert redactor.redact("plain") == "plain"
    assert redactor.redact("it is marzipan") == redactor.redact("it is marzipan") == f"it is {MASK}"
    assert str.__eq__(redactor.redact(Same("it is marzipan")), f"it is {MASK}")
    assert redactor._plain.texts == {"plain"}
