"""What of a configuration is secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import parse_qsl, unquote, urlsplit

from dozor.config.models import Config
from dozor.redaction import Redactor

_SECRET_NAME = re.compile(
    r"token|password|passwd|passphrase|secret|key|dsn|mnemonic|seed|credential|cookie", re.IGNORECASE
)
_TOKENS = re.compile(r"(?<![A-Za-z0-9_.-])[A-Za-z0-9_-]{12,}(?![A-Za-z0-9_.-])")
"""Parts of an Apprise URL that are no words and no host: a service may say them by themselves."""
_QUERY_SECRETS = frozenset(("password", "sslpassword", "passfile"))


def register_config_secrets(config: Config, redactor: Redactor) -> None:
    """Have `redactor` hide the token, the passwords in URLs, and the secrets among tasks' `args`.

    An argument is secret by its name (`api_key`, `seed`), or because it was read with `${file:…}`.
    """
    redactor.register(*_secrets(config))


def _secrets(config: Config) -> Iterator[str]:
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
    for url in (config.database.url, config.telegram.proxy):
        if url is not None:
            yield from passwords_in(url.get_secret_value())
    for task in config.tasks:
        for name, value in task.args.items():
            yield from _in_argument(config, ("tasks", task.name, "args", name), value)


def passwords_in(url: str) -> Iterator[str]:
    """The passwords of a URL, as written and decoded."""
    parts = urlsplit(url)
    userinfo = parts.netloc.rpartition("@")[0]
    password = userinfo.partition(":")[2]
    if password:
        yield password
        yield unquote(password)
    for key, value in parse_qsl(parts.query):
        if key in _QUERY_SECRETS and value:
            yield value


def _in_argument(config: Config, place: tuple[str | int, ...], value: object) -> Iterator[str]:
    match value:
        case dict():
            for name, inner in value.items():
                yield from _in_argument(config, (*place, name), inner)
        case list():
            for index, inner in enumerate(value):
                yield from _in_argument(config, (*place, index), inner)
        case str() | int() if not isinstance(value, bool):
            own, inherited = place, ("defaults", *place[2:])
            source = config.filled.get(own) or config.filled.get(inherited) or ""
            named = any(isinstance(step, str) and _SECRET_NAME.search(step) for step in place[3:])
            if named or "${file:" in source:
                yield str(value)
            if isinstance(value, str) and "://" in value and "@" in value:
                yield from _passwords_if_url(value)
        case _:
            pass


def _passwords_if_url(text: str) -> Iterator[str]:
    try:
        yield from passwords_in(text)
    except ValueError:
        return
