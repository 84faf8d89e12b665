"""`dozor health`: for containers without curl."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import click

from dozor.cli.terminal.layout import fitted
from dozor.cli.terminal.options import EXIT_FAILED, config_option
from dozor.errors import CommandRefusedError
from dozor.language import msg

_PATHS = {"alive": "/healthz", "ready": "/readyz", "tasks": "/health/tasks"}
_NAMES = {"alive": "cli-health-alive", "ready": "cli-health-ready", "tasks": "cli-health-tasks"}


@click.command(help=msg("cli-help-health"))
@config_option
@click.option("--url", metavar=msg("cli-metavar-url"), help=msg("cli-help-health-url"))
@click.option(
    "--of",
    "what",
    type=click.Choice(list(_PATHS)),
    default="alive",
    show_default=True,
    help=msg("cli-help-health-of"),
)
@click.option(
    "--timeout",
    type=float,
    default=5.0,
    show_default=True,
    metavar=msg("cli-metavar-seconds"),
    help=msg("cli-help-timeout"),
)
@click.option("--json", "as_json", is_flag=True, help=msg("cli-help-json"))
def health(config_path: Path, url: str | None, what: str, timeout: float, *, as_json: bool) -> None:
    """Ask a running runner how it is. Exit 1 if it is not well, or does not answer."""
    address = (url or _address(config_path)).rstrip("/") + _PATHS[what]
    ok, answer = _ask(address, timeout)
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False))
    else:
        name = msg(_NAMES[what])
        said = msg("cli-health-yes", what=name) if ok else msg("cli-health-no", what=name)
        click.echo(fitted(f"{said}{_why(answer)}"), err=not ok)
    if not ok:
        raise SystemExit(EXIT_FAILED)


def _address(config_path: Path) -> str:
    from dozor.config import load

    listen = load(config_path).web.listen
    if listen is None:
        raise CommandRefusedError(msg("cli-no-listen"))
    host = listen.host if listen.host not in ("", "0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 -- where it listens
    return f"http://[{host}]:{listen.port}" if ":" in host else f"http://{host}:{listen.port}"


def _ask(address: str, timeout: float) -> tuple[bool, dict[str, Any]]:
    """Whether it is well, and its answer."""
    if not address.startswith(("http://", "https://")):
        raise CommandRefusedError(msg("cli-url-scheme"))
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=timeout) as answer:
            return True, _read(answer.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return False, _read(refusal.read())
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        return False, {"reasons": [msg("cli-no-answer", address=address, reason=reason)]}


def _read(body: bytes) -> dict[str, Any]:
    try:
        answer = json.loads(body)
    except ValueError:
        return {"reasons": [msg("cli-foreign-answer")]}
    return answer if isinstance(answer, dict) else {}


def _why(answer: dict[str, Any]) -> str:
    reasons = [*answer.get("reasons", ()), *(f"{u['task']} {u['reason']}" for u in answer.get("unwell", ()))]
    return f" ({'; '.join(map(str, reasons))})" if reasons else ""
