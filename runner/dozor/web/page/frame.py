"""The frame of the status page. Its content is drawn by the script, from the data that is sent along.

Only what is broken is written twice, for a browser without a script.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from dozor.control.task_states import STATES
from dozor.language.names import Language
from dozor.web.page.markup import Html, join, raw, tag
from dozor.web.page.view import Wanted
from dozor.web.sources import Sources
from dozor.web.texts import texts_of

SCRIPTS = ("base.js", "bars.js", "live.js", "tasks.js", "task.js", "acts.js", "start.js")


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds that the script of a page waits. The runner sends a sign of life every two."""

    poll_after: float = 6.0
    """Without news from the stream, until it polls besides."""
    poll_every: float = 2.0
    poll_answer: float = 4.0
    """For the answer of a poll."""
    stale_after: float = 10.0
    """Without news, until the page is marked as stale."""
    stale_refused_after: float = 3.0
    """As `stale_after`, when a server or proxy has refused plainly."""
    stream_given_up_after: float = 15.0
    """Without news from an open stream, until it is opened anew."""
    stream_again_after: tuple[float, ...] = (1.0, 5.0, 15.0, 30.0)
    """Until a stream that was refused is opened again: the first time, the second and so on."""
    details_after_change: float = 1.5
    """Until the history of a task that has changed is requested, and the bars of one in the list."""
    details_at_most_every: float = 10.0
    """Between two requests for the history of a task that changes."""


WAITS = Waits()


class Page:
    """One rendering. `nonce` goes into style and script; `explicit`: the address names the language."""

    def __init__(self, sources: Sources, language: Language, nonce: str, *, explicit: bool) -> None:
        self._sources = sources
        self._language = language
        self._texts = texts_of(language)
        self._nonce = nonce
        self._explicit = explicit

    def render(
        self,
        wanted: Wanted,
        update: list[str],
        *,
        kinds: dict[str, str],
        actions: dict[str, str],
        about: dict[str, Any] | None,
        page: dict[str, Any],
        broken: list[dict[str, Any]],
    ) -> list[str]:
        """The document in pieces. `update`: the first message, as pieces of JSON.

        `about`: schedule and description of the one task that is shown; `page` and `broken`: what stands
        there without a script.
        """
        texts = self._texts
        title = texts.title if wanted.task is None else f"{wanted.task} — {texts.title}"
        head = tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("link", rel="icon", href="data:,", id="icon"),
            tag("title", title),
            tag("style", raw(_file("page.css")), nonce=self._nonce),
        )
        body = join(
            self._header(wanted),
            tag("div", tag("b"), " ", tag("span"), id="stale", role="alert", hidden=True),
            tag(
                "main",
                tag("noscript", self._without_script(page, broken)),
                id="main",
                data_view="tasks" if wanted.task is None else "task",
            ),
            self._dialog() if self._sources.token is not None else None,
            tag("div", id="toast", role="status", hidden=True),
            tag("div", id="news", role="status", class_="unseen"),
            tag("div", id="tip", hidden=True, aria_hidden="true"),
        )
        settings = json.dumps(self._settings(wanted, kinds, actions, about), ensure_ascii=False)
        language = self._language.value
        return [
            f'<!DOCTYPE html>\n<html lang="{language}">{head}<body>{body}',
            '<script type="application/json" id="settings">',
            settings.replace("<", "\\u003c"),
            '</script><script type="application/json" id="data">',
            *update,
            "</script>",
            tag("script", raw(_script()), nonce=self._nonce),
            "</body></html>",
        ]

    def _header(self, wanted: Wanted) -> Html:
        texts = self._texts
        other = Language.EN if self._language is Language.RU else Language.RU
        home = f"../?lang={self._language.value}" if self._explicit else "../"
        return tag(
            "header",
            tag("a", texts.title, href=home, class_="brand")
            if wanted.task is not None
            else tag("h1", texts.title),
            tag("span", texts.connecting, id="ready", class_="pill"),
            tag("span", id="runner", class_="quiet"),
            tag("span", texts.connecting, id="live", class_="quiet"),
            tag("span", class_="space"),
            tag("button", texts.sign_in, id="sign", type="button")
            if self._sources.token is not None
            else tag("span", texts.read_only, class_="quiet"),
            tag(
                "a",
                texts.other_language,
                href=f"?lang={other.value}",
                rel="nofollow",
                lang=other.value,
            ),
            tag("ul", id="reasons"),
        )

    def _without_script(self, page: dict[str, Any], broken: list[dict[str, Any]]) -> Html:
        texts = self._texts
        return join(
            tag("p", texts.needs_script),
            tag("h2", texts.incidents),
            tag("p", texts.no_incidents) if not page["incidents"] else None,
            [tag("p", f"#{one['id']} {one['task'] or ''} {one['summary']}") for one in page["incidents"]],
            tag("h2", texts.broken),
            tag("p", texts.nothing_broken) if not broken else None,
            [
                tag("p", tag("b", one["name"]), f" {texts.states[one['state']]} ", one.get("error"))
                for one in broken
            ],
        )

    def _dialog(self) -> Html:
        texts = self._texts
        return tag(
            "dialog",
            tag(
                "form",
                tag(
                    "label",
                    texts.sign_in_label,
                    tag("input", type="password", name="token", autocomplete="current-password"),
                ),
                tag(
                    "div",
                    tag("button", texts.sign_in, value="in"),
                    " ",
                    tag("button", texts.cancel, value="", formnovalidate=True),
                ),
                method="dialog",
            ),
            id="enter",
            aria_label=texts.sign_in,
        )

    def _settings(
        self,
        wanted: Wanted,
        kinds: dict[str, str],
        actions: dict[str, str],
        about: dict[str, Any] | None,
    ) -> dict[str, Any]:
        return {
            "texts": asdict(self._texts),
            "kinds": kinds,
            "actions": actions,
            "signs": {state.value: traits.sign for state, traits in STATES.items()},
            "task": wanted.task,
            "about": about,
            "search": wanted.search,
            "state": None if wanted.state is None else wanted.state.value,
            "acts": self._sources.token is not None,
            "zone": self._sources.timezone,
            "language": self._language.value,
            "explicit": self._explicit,
            "waits": asdict(WAITS),
        }


@cache
def _file(name: str) -> str:
    return files("dozor.web").joinpath("assets", name).read_text("utf-8")


@cache
def _script() -> str:
    """All of it in one function, so that nothing is global."""
    parts = "\n".join(_file(name) for name in SCRIPTS)
    return f'"use strict";\n(() => {{\n{parts}\n}})();\n'
