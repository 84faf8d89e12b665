"""Values that name something to connect to. No message here holds the value or a part of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

from dozor.language import msg

WEB_TOKEN_LENGTH = 16
"""Characters: a shorter one could be guessed."""
SOCKS_PORT = 1080
"""Where the URL names none."""
SOCKS_LENGTH = 255
"""Bytes: RFC 1929 has one byte for the length."""
_DSN_FORM = "postgresql://user@host:5432/database"
_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_.%-]+|\[[0-9A-Fa-f:.%a-z]+\]", re.ASCII)


def listen_forms() -> str:
    """What `web.listen` may be, for the end of a sentence."""
    return msg("config-listen-forms")


def _escape() -> str:
    return msg("config-url-escape")


def _database_form() -> str:
    return msg("config-database-form", form=_DSN_FORM)


def parse_token(value: object) -> str | None:
    """A bot's token (https://core.telegram.org/bots/api#authorizing-your-bot); empty: None."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _TOKEN.fullmatch(value.strip()):
        raise ValueError(msg("config-token"))
    return value.strip()


def parse_web_token(value: object) -> str | None:
    """The status page's token; empty: None."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value.strip()) < WEB_TOKEN_LENGTH or not value.strip().isascii():
        raise ValueError(msg("config-web-token", length=WEB_TOKEN_LENGTH))
    return value.strip()


def parse_database_url(value: object) -> str | None:
    """None for the embedded server. Otherwise a URL that asyncpg understands, several hosts included."""
    if value is None or value == "embedded":
        return None
    if not isinstance(value, str):
        raise ValueError(msg("config-not-url", form=_database_form()))
    text = value.strip()
    if text.partition(":")[0].lower() not in ("postgresql", "postgres") or "://" not in text:
        raise ValueError(msg("config-not-database-url", form=_database_form()))
    parts = _split(text, _database_form())
    hosts = parts.netloc.rpartition("@")[2]
    if parts.fragment or not all(map(_is_host_and_port, hosts.split(",") if hosts else ())):
        raise ValueError(msg("config-host-unreadable", form=_escape()))
    if not hosts and "host=" not in parts.query:
        raise ValueError(msg("config-url-no-host", form=_DSN_FORM))
    return text


def parse_direct_url(value: object) -> str | None:
    """As `parse_database_url`, for a server of somebody's own; empty: None."""
    if value is None or value == "":
        return None
    if value == "embedded":
        raise ValueError(msg("config-direct-embedded", form=_DSN_FORM))
    return parse_database_url(value)


def parse_api_url(value: object) -> str:
    """The Bot API server, without a slash at its end."""
    form = msg("config-api-form")
    if not isinstance(value, str):
        raise ValueError(msg("config-not-url", form=form))
    parts = _split(value.strip(), form)
    if parts.scheme not in ("http", "https"):
        raise ValueError(msg("config-not-http", form=form))
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(msg("config-url-more-than-address", form=form))
    if not _is_host_and_port(parts.netloc):
        raise ValueError(msg("config-host-unreadable", form=form))
    return value.strip().rstrip("/")


def parse_public_url(value: object) -> str | None:
    """Where people reach the status page, without a slash at its end; empty: None."""
    if value is None or value == "":
        return None
    form = "write https://dozor.example.com or null"
    if not isinstance(value, str):
        raise ValueError(f"this is not a URL; {form}")
    parts = _split(value.strip(), form)
    if parts.scheme not in ("http", "https") or not _is_host_and_port(parts.netloc):
        raise ValueError(f"an http:// or https:// URL with a host is needed; {form}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"the URL holds more than an address; {form}")
    return value.strip().rstrip("/")


def parse_webhook(value: object) -> str | None:
    """Where Telegram sends updates; empty: None. Telegram accepts https only."""
    if value is None or value == "":
        return None
    form = msg("config-webhook-form")
    if not isinstance(value, str):
        raise ValueError(msg("config-not-url", form=form))
    parts = _split(value.strip(), form)
    if parts.scheme != "https" or not _is_host_and_port(parts.netloc):
        raise ValueError(msg("config-only-https", form=form))
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(msg("config-url-more-than-address", form=form))
    return value.strip()


def parse_proxy(value: object) -> str | None:
    """An HTTP or SOCKS5 proxy towards Telegram; empty: None."""
    if value is None or value == "":
        return None
    form = msg("config-proxy-form")
    if not isinstance(value, str):
        raise ValueError(msg("config-not-url", form=form))
    text = value.strip()
    parts = _split(text, form)
    if parts.scheme in ("socks", "socks4", "socks4a"):
        raise ValueError(msg("config-only-socks-five", form=form))
    if parts.scheme not in ("http", "https", "socks5", "socks5h"):
        raise ValueError(msg("config-not-proxy", form=form))
    rest = parts.path not in ("", "/") or parts.query or parts.fragment
    if rest or not _is_host_and_port(parts.netloc.rpartition("@")[2]):
        raise ValueError(msg("config-host-unreadable-escape", escape=_escape(), form=form))
    if parts.scheme.startswith("socks") and "@" in parts.netloc:
        for name, part in (("user", parts.username), ("password", parts.password)):
            told = unquote(part or "")
            if not told.isascii() or not 0 < len(told) <= SOCKS_LENGTH:
                raise ValueError(msg("config-socks-length", name=name, length=SOCKS_LENGTH, form=form))
    return text


@dataclass(frozen=True, slots=True)
class Socks:
    """A SOCKS5 proxy, and who we are to it ("": nobody in particular)."""

    host: str
    port: int = SOCKS_PORT
    username: str = ""
    password: str = field(default="", repr=False)


def socks_of(proxy: str | None) -> Socks | None:
    """What a checked `telegram.proxy` says of SOCKS; None: there is no proxy, or it is an HTTP proxy."""
    parts = urlsplit(proxy or "")
    if not parts.scheme.startswith("socks") or parts.hostname is None:
        return None
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return Socks(parts.hostname, parts.port or SOCKS_PORT, user, password)


def parse_listen(value: object) -> tuple[str, int] | None:
    """`host:port` as a pair; the host "" is every interface. None: no web server."""
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        raise ValueError(msg("config-no-host", value="{value}", form=listen_forms()))
    if not isinstance(value, str):
        raise ValueError(msg("config-not-address", value="{value}", form=listen_forms()))
    host, colon, port = value.strip().rpartition(":")
    if "://" in value:
        raise ValueError(msg("config-is-url", value="{value}", form=listen_forms()))
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII):
        raise ValueError(msg("config-no-port", value="{value}", form=listen_forms()))
    if int(port) > 65535:
        raise ValueError(msg("config-port-too-large", value="{value}"))
    if ":" in host and not host.startswith("["):
        raise ValueError(msg("config-ipv-six-brackets", value="{value}", form=listen_forms()))
    if host and not _HOST.fullmatch(host):
        raise ValueError(msg("config-not-address", value="{value}", form=listen_forms()))
    return host.strip("[]"), int(port)


def _split(text: str, form: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError(msg("config-url-unreadable", form=form)) from None


def _is_host_and_port(text: str) -> bool:
    match = re.fullmatch(r"(.*?)(?::([0-9]{1,5}))?", text, re.ASCII)
    if match is None or not _HOST.fullmatch(match.group(1)):
        return False
    return match.group(2) is None or 0 < int(match.group(2)) <= 65535
