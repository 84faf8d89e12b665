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
TEST_ONLY: Final = 0x80
"""Flag of a friendly address that is meant for the test network."""
BOUNCEABILITY: Final = (0x11, 0x51)
"""The other flags: bounceable or not."""


def check_provider_args(args: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    """What is wrong with `providers` and `testnet`, where they are given."""
    if "providers" in args:
        yield from _provider_problems(args["providers"])
    if "testnet" in args and not isinstance(args["testnet"], bool):
        yield ArgumentProblem(("testnet",), msg("config-arg-flag", value=_quoted(args["testnet"])))


def check_wallet_args(args: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    """What is wrong with `wallet` and `jettons`, where they are given."""
    given: list[tuple[Place, object]] = []
    if args.get("wallet") is not None:
        given.append((("wallet",), args["wallet"]))
    jettons = args.get("jettons")
    yield from _jetton_problems(args, jettons, given)
    yield from _given_problems(given, testnet=args.get("testnet") is True)


def _jetton_problems(
    args: Mapping[str, Any], jettons: Any, given: list[tuple[Place, object]]
) -> Iterator[ArgumentProblem]:
    """What is wrong with `jettons` but its addresses, which are added to `given`."""
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
            given += [((*place, key), address) for key, address in entry.items()]
        elif isinstance(entry, str):
            given.append((place, entry))
        else:
            text = msg("error-jetton-entry", currency=currency, value=_quoted(entry))
            yield ArgumentProblem(place, text)
    if jettons and args.get("wallet") is None:
        yield ArgumentProblem(("jettons",), msg("config-jettons-without-wallet"))


def raw_form(text: str) -> str | None:
    """workchain:hash of an address of the base workchain or the masterchain, given in the raw or the friendly
    form; None: it is no such address.

    Source of the friendly form: docs.ton.org, "Addresses": flags, workchain, 32 bytes, CRC16-XMODEM.
    """
    if _RAW_ADDRESS.fullmatch(text):
        return text.lower()
    data = _friendly(text)
    if data is None:
        return None
    return f"{0 if data[1] == 0 else -1}:{data[2:34].hex()}"


def is_address(text: str) -> bool:
    """True for an address that `raw_form` reads."""
    return raw_form(text) is not None


def _friendly(text: str) -> bytes | None:
    """The bytes of an address in the friendly form; None: it is none."""
    if not _FRIENDLY_ADDRESS.fullmatch(text):
        return None
    data = base64.urlsafe_b64decode(text.replace("+", "-").replace("/", "_"))
    if data[0] & ~TEST_ONLY not in BOUNCEABILITY or data[1] not in WORKCHAINS:
        return None
    return data if binascii.crc_hqx(data[:34], 0) == int.from_bytes(data[34:], "big") else None


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
        elif not _sendable(entry.get("api_key")):
            yield ArgumentProblem((*place, "api_key"), msg("config-provider-api-key-text"))
        rps = entry.get("rps")
        if rps is not None and (type(rps) is not int or not 1 <= rps < 2**31):
            yield ArgumentProblem((*place, "rps"), msg("config-arg-count", value=_quoted(rps)))
        for problem in seconds_problems(entry, "timeout"):
            yield ArgumentProblem((*place, *problem.place), problem.text)


def _sendable(api_key: str | None) -> bool:
    """Whether an HTTP header can carry it: printable ASCII without spaces. An empty key is none."""
    return not api_key or (api_key.isascii() and api_key.isprintable() and " " not in api_key)


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


def _given_problems(given: Sequence[tuple[Place, object]], *, testnet: bool) -> Iterator[ArgumentProblem]:
    """What is wrong with the addresses: each is one, of this network, and given once, in whatever form.

    One jetton wallet (or master) of two currencies would be booked in the one that comes last.
    """
    places: dict[str, Place] = {}
    for place, address in given:
        raw = raw_form(address) if isinstance(address, str) else None
        if raw is None or not isinstance(address, str):
            yield ArgumentProblem(place, msg("config-ton-address", value=_quoted(address)))
            continue
        data = _friendly(address)
        if data is not None and data[0] & TEST_ONLY and not testnet:
            yield ArgumentProblem(place, msg("config-ton-address-testnet", value=_quoted(address)))
        elif raw in places:
            first = ".".join(map(str, places[raw]))
            yield ArgumentProblem(place, msg("config-ton-address-twice", value=_quoted(address), first=first))
        places.setdefault(raw, place)


def _quoted(value: object) -> str:
    return repr(value)[:SHOWN]
