"""The narrator's words, from `demo.*.ftl`, and the data of the story that is named in them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any

from dozor.language.names import Language
from dozor.language.process import from_environment
from dozor.language.templates import templates
from dozor_market.demo.market import Lot, Presale


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """Texts with {gaps}; each is a paragraph the screen wraps."""

    title: str
    what: str
    legend: str
    seller: str
    buyers: tuple[str, str, str]
    lots_first: tuple[Lot, ...]
    lots_outage: tuple[Lot, ...]
    presale: Presale

    open_heading: str
    open_text: str
    watch_heading: str
    watch_text: str
    sold: str
    unsold: str
    credited: str
    glitch_heading: str
    glitch_text: str
    glitch_seen: str
    glitch_over: str
    outage_heading: str
    outage_text: str
    outage_alert: str
    outage_others: str
    outage_stop: str
    outage_money: str
    person_heading: str
    person_mended: str
    person_door: str
    person_recovered: str
    money_heading: str
    money_text: str
    money_audit: str

    columns_now: tuple[str, str, str]
    columns_then: tuple[str, str, str, str]
    house: str
    total: str

    leaving: str
    interrupted: str
    done: str
    next_steps: tuple[tuple[str, str], ...]
    """In a checkout."""
    next_steps_installed: tuple[tuple[str, str], ...]
    """Where only the package is: no Makefile and no docs. {docs}: the address of the documentation."""


@cache
def words(language: Language) -> Words:
    """The words of a language. Raises KeyError if a text is missing: a bug."""
    found: dict[str, Any] = dict(templates(language, "demo"))
    named: dict[str, Any] = {}
    for field in fields(Words):
        key = f"demo-{field.name.replace('_', '-')}"
        if isinstance(found.get(key), str):
            named[field.name] = found[key]
    columns, following = found["demo-columns"], found["demo-next"]
    buyers = _buyers(found["demo-buyers"])
    lots_first, lots_outage = _lots(buyers, found["demo-lots"])
    return Words(
        **named,
        buyers=buyers,
        lots_first=lots_first,
        lots_outage=lots_outage,
        presale=Presale(found["demo-presale"]["title"], buyers[2], price=120, penalty=30),
        columns_now=("", columns["free"], columns["reserved"]),
        columns_then=("", columns["before"], columns["after"], columns["difference"]),
        next_steps=(
            ("make run", following["run"]),
            ("docs/writing-checkers.md", following["checker"]),
            ("BOT_TOKEN=… ALERT_CHAT=… ADMINS=… make run", following["telegram"]),
        ),
        next_steps_installed=(
            ("{docs}/writing-checkers.md", following["checker"]),
            ("dozor check", following["check"]),
            ("dozor run", following["run"]),
        ),
    )


def _buyers(names: Mapping[str, str]) -> tuple[str, str, str]:
    return names["first"], names["second"], names["third"]


def _lots(buyers: tuple[str, str, str], titles: Mapping[str, str]) -> tuple[tuple[Lot, ...], tuple[Lot, ...]]:
    """What is sold, in the order of the story: who bids what is the same in every language."""
    first, second, third = buyers
    return (
        (
            Lot(titles["first"], ((first, 80), (second, 95), (first, 120))),
            Lot(titles["second"], ((third, 40),), reserve=60),
        ),
        (
            Lot(titles["third"], ((first, 150), (third, 210))),
            Lot(titles["fourth"], ((second, 160),)),
            Lot(titles["fifth"], ((first, 55), (second, 100))),
        ),
    )


def choose_language(environment: Mapping[str, str], encoding: str) -> Language:
    """As `language: auto` of a configuration; English where `encoding` has no Russian letters."""
    try:
        words(Language.RU).title.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return Language.EN
    return from_environment(environment)
