"""Which values of a configuration are secret."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, unquote, urlsplit

from pydantic import BaseModel, SecretStr

from dozor.config.sections.config import Config
from dozor.config.values.secret_names import SECRET_NAME
from dozor.redaction import Redactor

_ORDINARY = frozenset(
    (
        "admin", "app", "auto", "basic", "bearer", "config", "database", "default", "demo", "dev",
        "develop", "development", "disabled", "dozor", "embedded", "enabled", "example", "false",
        "guest", "host", "info", "json", "live", "local", "localhost", "main", "master", "name", "none",
        "null", "postgres", "postgresql", "preprod", "primary", "prod", "production", "public", "read",
        "release", "root", "sandbox", "server", "service", "shared", "stage", "staging", "status",
        "stop", "system", "telegram", "test", "testing", "text", "title", "true", "type", "user",
        "username", "value", "worker", "write",
    )
)  # fmt: skip
"""Words that are in every log. To mask one of them would garble it and hide nothing: as a password it is
hidden by the patterns of `dozor.redaction`, where it is in a URL or after a name."""
LONG = 12
"""Characters of a value from the environment that may be secret by its looks."""
_SEGMENTS = re.compile(r"[^A-Za-z0-9]+")
_SYMBOLS = re.compile(r"[!#$%^&*+=?~|<>]")
_TURNS = re.compile(r"(?<=[A-Za-z])(?=[0-9])|(?<=[0-9])(?=[A-Za-z])|(?<=[a-z])(?=[A-Z])")
_CONSONANTS = re.compile(r"[bcdfghjklmnpqrstvwxz]{6}", re.IGNORECASE)
_TOKENS = re.compile(r"(?<![A-Za-z0-9_.-])[A-Za-z0-9_-]{12,}(?![A-Za-z0-9_.-])")
"""Parts of an Apprise URL that are no words and no host: a service may say them by themselves."""
_QUERY_SECRETS = frozenset(("password", "sslpassword", "passfile"))


def register_config_secrets(config: Config, redactor: Redactor) -> None:
    """Have `redactor` hide the secrets of a configuration.

    Those are: tokens; passwords in URLs, wherever one stands; values of tasks' `args` under a secret name
    (`api_key`, `pin`); what `${file:…}` read, each of its lines; and what `${NAME}` was filled in with, if it
    is at least `LONG` characters long and looks random. Ordinary words (`prod`) are not among them.
    """
    redactor.register(*(text for text in _secrets(config) if text.strip().lower() not in _ORDINARY))


def looks_random(text: str) -> bool:
    """A password, key or token rather than a name, an address or a path: judged by its longest segments.

    A segment is a run of ASCII letters and digits. Random ones change between letters, digits and capitals
    again and again, or have no syllables.
    """
    if len(text) < LONG or any(character.isspace() for character in text):
        return False
    if _SYMBOLS.search(text):  # no part of a name or an address
        return sum(len(_TURNS.findall(part)) for part in _SEGMENTS.split(text)) >= 4
    longest = max(_SEGMENTS.split(text), key=len)
    if len(longest) < LONG // 2 or len(set(longest)) < LONG // 2:
        return False
    return sum(1 for _ in _TURNS.finditer(longest)) >= 4 or _CONSONANTS.search(longest) is not None


def _secrets(config: Config) -> Iterator[str]:
    for reference in config.references:
        if reference.from_file:
            yield reference.value
            yield from (line.strip() for line in reference.value.splitlines())
        elif "://" not in reference.value and looks_random(reference.value):
            yield reference.value
    yield from _passwords_in_texts(config)
    token = config.telegram.token
    if token is not None:
        text = token.get_secret_value()
        yield text
        yield text.partition(":")[2]
    if config.web.token is not None:
        yield config.web.token.get_secret_value()
    for secret in config.telegram.totp.secrets.values() if config.telegram.totp is not None else ():
        yield secret.get_secret_value()
    channel, heartbeat = config.alerts.second_channel, config.alerts.heartbeat
    for secret in channel.urls if channel is not None else ():
        yield secret.get_secret_value()
        yield from passwords_in(secret.get_secret_value())
        yield from _TOKENS.findall(secret.get_secret_value().partition("://")[2])
    if heartbeat is not None and heartbeat.url is not None:
        yield heartbeat.url.get_secret_value()
    for task in config.tasks:
        for name, value in task.args.items():
            yield from _in_argument((name,), value)


def passwords_in(url: str) -> Iterator[str]:
    """The passwords of a URL, as written and decoded."""
    parts = urlsplit(url)
    userinfo = parts.netloc.rpartition("@")[0]
    password = userinfo.partition(":")[2]
    if password:
        yield password
        yield unquote(password)
    elif looks_random(userinfo):  # "https://TOKEN@host"
        yield userinfo
    for key, value in parse_qsl(parts.query):
        if value and (key in _QUERY_SECRETS or (SECRET_NAME.search(key) and len(value) >= 8)):
            yield value


_NO_TEXT = frozenset((bool, int, float))
"""Types of most values of tasks, which are not looked at further."""


def _passwords_in_texts(value: object) -> Iterator[str]:
    """Of every URL anywhere in `value`."""
    waiting: list[object] = [value]
    seen: set[int] = set()  # sections are frozen, and tasks share texts, arguments and sections
    while waiting:
        match waiting.pop():
            case str() as text:
                if "://" in text:
                    yield from _passwords_if_url(text)
            case None | bool() | int() | float():
                pass
            case BaseModel() as model:
                for one in vars(model).values():
                    if one and type(one) not in _NO_TEXT and id(one) not in seen:
                        seen.add(id(one))
                        waiting.append(one)
            case list() | tuple() | set() | frozenset() as several:
                waiting.extend(several)
            case SecretStr() as secret:
                waiting.append(secret.get_secret_value())
            case Mapping() as mapping:
                waiting.extend(mapping.values())
            case _:
                pass


def _in_argument(names: tuple[str, ...], value: object) -> Iterator[str]:
    """What is secret by one of the names that lead to it."""
    match value:
        case Mapping():
            for name, inner in value.items():
                yield from _in_argument((*names, str(name)), inner)
        case list() | tuple():
            for inner in value:
                yield from _in_argument(names, inner)
        case str() | int() | float() if not isinstance(value, bool):
            if any(SECRET_NAME.search(name) for name in names):
                yield str(value)
        case _:
            pass


def _passwords_if_url(text: str) -> Iterator[str]:
    try:
        yield from passwords_in(text)
    except ValueError:
        return
