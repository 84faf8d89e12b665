"""Arguments of the TON checkers that are not money: providers, addresses, jettons. Pure.

Nothing of the extra `ton` is imported: `dozor check` and the start of a runner read these arguments, and the
libraries of that extra are slow to import.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from dozor.arguments import ArgumentProblem, Place
from dozor.language import msg
from dozor_market.arguments.amounts import CURRENCY
from dozor_market.arguments.counts import seconds_problems

PROVIDER_KINDS: Final = ("toncenter", "tonapi", "lite")
PROVIDER_KEYS: Final = ("kind", "url", "api_key", "rps", "timeout")
JETTON_KEYS: Final = ("wallet", "master")
SHOWN: Final = 60
"""Characters of a wrong value that an error quotes."""
_RAW_ADDRESS: Final = re.compile(r"(?:0|-1):[0-9a-fA-F]{64}")
_FRIENDLY_ADDRESS: Final = re.compile(r"[A-Za-z0-9+/_-]{48}")
WORKCHAINS: Final = (0x00, 0xFF)
"""The byte of a friendly address that names the workchain: 0 or -1."""


def check_provider_args(args: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    """What is wrong with `providers` and `testnet`, where they are given."""
    if "providers" in args:
        yield from _provider_problems(args["providers"])
    if "testnet" in args and not isinstance(args["testnet"], bool):
        yield ArgumentProblem(("testnet",), msg("config-arg-flag", value=_quoted(args["testnet"])))


def check_wallet_args(args: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    """What is wrong with `wallet` and `jettons`, where they are given."""
    if args.get("wallet") is not None:
        yield from _address_problems(("wallet",), args["wallet"])
    jettons = args.get("jettons")
    if jettons is None:
        return
    if not isinstance(jettons, Mapping):
        yield ArgumentProblem(("jettons",), msg("config-jettons", value=_quoted(jettons)))
        return
    for currency, entry in jettons.items():
        place: Place = ("jettons", str(currency))
        if not isinstance(currency, str) or not CURRENCY.fullmatch(currency):
            yield ArgumentProblem(place, msg("config-amount-currency", value=_quoted(currency)))
        elif currency == "TON":
            yield ArgumentProblem(place, msg("error-jetton-currency", currency=currency))
        elif isinstance(entry, Mapping) and entry and set(entry) <= set(JETTON_KEYS):
            for key, address in entry.items():
                yield from _address_problems((*place, key), address)
        elif isinstance(entry, str):
            yield from _address_problems(place, entry)
        else:
            text = msg("error-jetton-entry", currency=currency, value=_quoted(entry))
            yield ArgumentProblem(place, text)
    if jettons and args.get("wallet") is None:
        yield ArgumentProblem(("jettons",), msg("config-jettons-without-wallet"))


def is_address(text: str) -> bool:
    """True for an address of the base workchain or the masterchain, in the raw or the friendly form.

    Source of the friendly form: docs.ton.org, "Addresses": flags, workchain, 32 bytes, CRC16-XMODEM.
    """
    if _RAW_ADDRESS.fullmatch(text):
        return True
    if not _FRIENDLY_ADDRESS.fullmatch(text):
        return False
    data = base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_"))
    return data[1] in WORKCHAINS and binascii.crc_hqx(data[:34], 0) == int.from_bytes(data[34:], "big")


def first_problem(problems: Iterable[ArgumentProblem]) -> None:
    """Raises ValueError with the first of them, for a checker that is called without `dozor check`."""
    for problem in problems:
        raise ValueError(msg("config-amount-in", name=".".join(map(str, problem.place)), text=problem.text))


def _provider_problems(given: Any) -> Iterator[ArgumentProblem]:
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        yield ArgumentProblem(("providers",), msg("config-providers", value=_quoted(given)))
        return
    for number, entry in enumerate(given):
        place: Place = ("providers", number)
        if not isinstance(entry, Mapping):
            yield ArgumentProblem(place, msg("config-provider", value=_quoted(entry)))
            continue
        for key in entry:
            if key not in PROVIDER_KEYS:
                known = ", ".join(PROVIDER_KEYS)
                text = msg("config-provider-key", key=_quoted(key), known=known)
                yield ArgumentProblem((*place, str(key)), text)
        kinds = ", ".join(PROVIDER_KINDS)
        if entry.get("kind") not in PROVIDER_KINDS:
            text = msg("config-provider-kind", value=_quoted(entry.get("kind")), kinds=kinds)
            yield ArgumentProblem((*place, "kind") if "kind" in entry else place, text)
        if entry.get("url") is not None:
            yield from _url_problems((*place, "url"), entry["url"])
        if not isinstance(entry.get("api_key"), str | None):
            yield ArgumentProblem((*place, "api_key"), msg("config-provider-api-key"))
        rps = entry.get("rps")
        if rps is not None and (type(rps) is not int or not 1 <= rps < 2**31):
            yield ArgumentProblem((*place, "rps"), msg("config-arg-count", value=_quoted(rps)))
        for problem in seconds_problems(entry, "timeout"):
            yield ArgumentProblem((*place, *problem.place), problem.text)


def _url_problems(place: Place, given: Any) -> Iterator[ArgumentProblem]:
    """The value is not quoted: it may hold a key."""
    if isinstance(given, str) and ("?" in given or "@" in given):
        yield ArgumentProblem(place, msg("error-provider-url"))
        return
    try:
        parts = urlsplit(given) if isinstance(given, str) else None
        usable = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and (parts is None or parts.port != 0)  # ValueError for a port that is no number
    except ValueError:
        usable = False
    if not usable:
        yield ArgumentProblem(place, msg("config-provider-url"))


def _address_problems(place: Place, given: Any) -> Iterator[ArgumentProblem]:
    if not isinstance(given, str) or not is_address(given):
        yield ArgumentProblem(place, msg("config-ton-address", value=_quoted(given)))


def _quoted(value: object) -> str:
    return repr(value)[:SHOWN]
