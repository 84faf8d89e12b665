"""Values that name something to connect to. No message here holds the value or a part of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

LISTEN_FORMS = 'write 127.0.0.1:9464, "[::1]:9464", :9464 for every interface, or null to switch it off'
WEB_TOKEN_LENGTH = 16
"""Characters: a shorter one could be guessed."""
SOCKS_PORT = 1080
"""Where the URL names none."""
SOCKS_LENGTH = 255
"""Bytes: RFC 1929 has one byte for the length."""
_DSN_FORM = "postgresql://user@host:5432/database"
_ESCAPE = "characters such as @ : / # ? in a password are written %40 %3A %2F %23 %3F"
_TOKEN = re.compile(r"[0-9]+:[A-Za-z0-9_-]+", re.ASCII)
_HOST = re.compile(r"[A-Za-z0-9_.%-]+|\[[0-9A-Fa-f:.%a-z]+\]", re.ASCII)


def parse_token(value: object) -> str | None:
    """A bot's token (https://core.telegram.org/bots/api#authorizing-your-bot); empty: None."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or not _TOKEN.fullmatch(value.strip()):
        raise ValueError("this is not a bot's token; copy it from @BotFather, digits:letters, in full")
    return value.strip()


def parse_web_token(value: object) -> str | None:
    """The status page's token; empty: None."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value.strip()) < WEB_TOKEN_LENGTH or not value.strip().isascii():
        raise ValueError(
            f"this is no token; write {WEB_TOKEN_LENGTH} or more letters and digits, "
            "such as `openssl rand -hex 16` gives"
        )
    return value.strip()


def parse_database_url(value: object) -> str | None:
    """None for the embedded server. Otherwise a URL that asyncpg understands, several hosts included."""
    if value is None or value == "embedded":
        return None
    if not isinstance(value, str):
        raise ValueError(f"this is not a URL; write embedded or {_DSN_FORM}")
    text = value.strip()
    if text.partition(":")[0].lower() not in ("postgresql", "postgres") or "://" not in text:
        raise ValueError(f"neither embedded nor a PostgreSQL URL; write embedded or {_DSN_FORM}")
    parts = _split(text, f"write embedded or {_DSN_FORM}")
    hosts = parts.netloc.rpartition("@")[2]
    if parts.fragment or not all(map(_is_host_and_port, hosts.split(",") if hosts else ())):
        raise ValueError(f"the host and port cannot be read; {_ESCAPE}")
    if not hosts and "host=" not in parts.query:
        raise ValueError(f"the URL names no host; write {_DSN_FORM}, or ?host=/folder for a unix socket")
    return text


def parse_api_url(value: object) -> str:
    """The Bot API server, without a slash at its end."""
    form = "write https://api.telegram.org or the address of your own Bot API server"
    if not isinstance(value, str):
        raise ValueError(f"this is not a URL; {form}")
    parts = _split(value.strip(), form)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"the URL is neither http:// nor https://; {form}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"the URL holds more than an address; {form}")
    if not _is_host_and_port(parts.netloc):
        raise ValueError(f"the host and port cannot be read; {form}")
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
    """Where Telegram brings updates; empty: None. Telegram takes https alone."""
    if value is None or value == "":
        return None
    form = "write https://dozor.example.com/telegram"
    if not isinstance(value, str):
        raise ValueError(f"this is not a URL; {form}")
    parts = _split(value.strip(), form)
    if parts.scheme != "https" or not _is_host_and_port(parts.netloc):
        raise ValueError(f"Telegram takes an https:// URL alone; {form}")
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"the URL holds more than an address; {form}")
    return value.strip()


def parse_proxy(value: object) -> str | None:
    """An HTTP or SOCKS5 proxy towards Telegram; empty: None."""
    if value is None or value == "":
        return None
    form = "write http://host:3128 or socks5://host:1080"
    if not isinstance(value, str):
        raise ValueError(f"this is not a URL; {form}")
    text = value.strip()
    parts = _split(text, form)
    if parts.scheme in ("socks", "socks4", "socks4a"):
        raise ValueError(f"of SOCKS only version 5 is spoken here; {form}")
    if parts.scheme not in ("http", "https", "socks5", "socks5h"):
        raise ValueError(f"the URL is neither http:// nor https:// nor socks5://; {form}")
    rest = parts.path not in ("", "/") or parts.query or parts.fragment
    if rest or not _is_host_and_port(parts.netloc.rpartition("@")[2]):
        raise ValueError(f"the host and port cannot be read; {_ESCAPE}; {form}")
    if parts.scheme.startswith("socks") and "@" in parts.netloc:
        for name, part in (("user", parts.username), ("password", parts.password)):
            told = unquote(part or "")
            if not told.isascii() or not 0 < len(told) <= SOCKS_LENGTH:
                raise ValueError(f"a SOCKS {name} has 1 to {SOCKS_LENGTH} ASCII characters; {form}")
    return text


@dataclass(frozen=True, slots=True)
class Socks:
    """A SOCKS5 proxy, and who we are to it ("": nobody in particular)."""

    host: str
    port: int = SOCKS_PORT
    username: str = ""
    password: str = field(default="", repr=False)


def socks_of(proxy: str | None) -> Socks | None:
    """What a checked `telegram.proxy` says of SOCKS; None: there is no proxy, or it speaks HTTP."""
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
        raise ValueError(f"{{value}} has no host; {LISTEN_FORMS}")
    if not isinstance(value, str):
        raise ValueError(f"{{value}} is not an address; {LISTEN_FORMS}")
    host, colon, port = value.strip().rpartition(":")
    if "://" in value:
        raise ValueError(f"{{value}} is a URL; {LISTEN_FORMS}")
    if not colon or not re.fullmatch(r"[0-9]{1,5}", port, re.ASCII):
        raise ValueError(f"{{value}} has no port; {LISTEN_FORMS}")
    if int(port) > 65535:
        raise ValueError("{value}: a port is at most 65535; write a lower one")
    if ":" in host and not host.startswith("["):
        raise ValueError(f"{{value}}: an IPv6 address stands in brackets; {LISTEN_FORMS}")
    if host and not _HOST.fullmatch(host):
        raise ValueError(f"{{value}} is not an address; {LISTEN_FORMS}")
    return host.strip("[]"), int(port)


def _split(text: str, form: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        raise ValueError(f"the URL cannot be read; {form}") from None


def _is_host_and_port(text: str) -> bool:
    match = re.fullmatch(r"(.*?)(?::([0-9]{1,5}))?", text, re.ASCII)
    if match is None or not _HOST.fullmatch(match.group(1)):
        return False
    return match.group(2) is None or 0 < int(match.group(2)) <= 65535
