"""The status page, rendered on the server; `page.js` keeps it up to date."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import cache
from importlib.resources import files
from typing import Any

from dozor.control.queries.status import RunnerInfo
from dozor.control.queries.uptime_bars import FAILED, NONE, OK
from dozor.language.names import Language
from dozor.web.markup import Child, Html, raw, tag
from dozor.web.texts import Texts, span, texts_of

BAR_WIDTH, BAR_GAP, BAR_HEIGHT = 3, 1, 20
SIGNS = {"waiting": "·", "running": "▶", "backoff": "↻", "stopped": "✖", "paused": "‖", "held": "…"}
_BAR_CLASSES = {NONE: "none", OK: "ok", FAILED: "failed"}

Bars = dict[str, tuple[float, str]]


class Page:
    """One rendering. `now`: seconds since the epoch; `nonce` goes into style and script."""

    def __init__(self, language: Language, now: float, nonce: str) -> None:
        self._language = language
        self._texts = texts_of(language)
        self._now = now
        self._nonce = nonce

    def render(
        self,
        runner: RunnerInfo,
        view: dict[str, Any],
        tasks: list[dict[str, Any]],
        labels: dict[str, tuple[str, str]],
        bars: Bars,
        *,
        total: int,
        wanted: str,
        may_act: bool,
    ) -> str:
        """`view`: readiness, counts, incidents and owed messages; `labels`: schedule and description."""
        texts = self._texts
        head = tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="color-scheme", content="light dark"),
            tag("link", rel="icon", href="data:,"),
            tag("title", texts.title),
            tag("style", raw(_file("page.css")), nonce=self._nonce),
        )
        body = tag(
            "body",
            self._header(runner, view["readiness"], may_act=may_act),
            tag(
                "main",
                self._counts(view["counts"]),
                self._search(wanted, len(tasks), total),
                tag("div", [self._task(task, labels, bars, may_act=may_act) for task in tasks], id="tasks")
                if tasks
                else tag("p", texts.no_tasks, class_="quiet"),
                tag("h2", texts.incidents),
                tag("div", [self._incident(one) for one in view["incidents"]], id="incidents"),
                tag(
                    "p", texts.no_incidents, id="no-incidents", class_="quiet", hidden=bool(view["incidents"])
                ),
                tag("h2", texts.queue),
                tag("div", [self._owed(one) for one in view["owed"]], id="owed"),
                tag("p", texts.queue_empty, id="no-owed", class_="quiet", hidden=bool(view["owed"])),
            ),
            self._dialog() if may_act else None,
            tag("div", id="toast", role="status", hidden=True),
            tag("script", raw(self._data(wanted, may_act=may_act)), type="application/json", id="data"),
            tag("script", raw(_file("page.js")), nonce=self._nonce),
        )
        return "<!DOCTYPE html>\n" + tag("html", head, body, lang=self._language.value)

    def _header(self, runner: RunnerInfo, readiness: dict[str, Any], *, may_act: bool) -> Html:
        texts = self._texts
        other = Language.EN if self._language is Language.RU else Language.RU
        up = span(texts, self._now - runner.started_at)
        ready = readiness["ready"]
        return tag(
            "header",
            tag("h1", texts.title),
            tag(
                "span",
                texts.ready if ready else texts.not_ready,
                id="ready",
                class_=f"pill {'running' if ready else 'stopped'}",
            ),
            tag(
                "span",
                f"{texts.runner} {runner.id}, {runner.host}, {runner.version}, {texts.up} {up}",
                class_="quiet",
            ),
            tag("span", texts.live, id="live", class_="quiet", hidden=True),
            tag("span", class_="space"),
            tag("button", texts.sign_in, id="sign", type="button")
            if may_act
            else tag("span", texts.read_only, class_="quiet"),
            tag("a", texts.other_language, href=f"?lang={other.value}", rel="nofollow"),
            tag("ul", [tag("li", reason) for reason in readiness["reasons"]], id="reasons"),
        )

    def _counts(self, counts: dict[str, int]) -> Html:
        return tag(
            "ul",
            [
                tag(
                    "li",
                    tag("b", str(count), data_count=state),
                    f" {self._texts.states[state]}",
                    class_=f"pill {state}" + ("" if count else " zero"),
                )
                for state, count in counts.items()
            ],
            id="counts",
        )

    def _search(self, wanted: str, shown: int, total: int) -> Html | None:
        if total <= 8 and not wanted:
            return None
        texts = self._texts
        more = texts.more.format(shown=shown, total=total) if shown < total else None
        return tag(
            "form",
            tag(
                "input",
                type="search",
                name="q",
                value=wanted,
                placeholder=texts.filter,
                aria_label=texts.filter,
            ),
            tag("input", type="hidden", name="lang", value=self._language.value),
            tag("span", more, class_="quiet") if more else None,
            method="get",
        )

    def _task(
        self, task: dict[str, Any], labels: dict[str, tuple[str, str]], bars: Bars, *, may_act: bool
    ) -> Html:
        texts, state = self._texts, task["state"]
        schedule, description = labels[task["name"]]
        return tag(
            "article",
            tag("h3", task["name"]),
            tag("span", f"{SIGNS[state]} {texts.states[state]}", class_=f"pill {state}", data_f="state"),
            tag("span", self._streak(task), data_f="streak", class_="streak"),
            tag("span", self._times(task), data_f="times", class_="quiet"),
            tag("span", schedule, " — " if description else None, description, class_="quiet about"),
            self._bars(bars.get(task["name"])),
            tag("p", self._error(task), data_f="error", class_="error", hidden=task["error"] is None),
            tag(
                "div",
                [
                    tag("button", word, type="button", data_do=command)
                    for command, word in (
                        ("restart", texts.restart), ("run-now", texts.run_now),
                        ("pause", texts.pause), ("resume", texts.resume),
                    )
                ],
                class_="acts",
                hidden=True,
            )
            if may_act
            else None,
            class_=f"task {state}",
            data_task=task["name"],
        )  # fmt: skip

    def _streak(self, task: dict[str, Any]) -> str:
        if not task["streak"]:
            return ""
        limit = task["limit"] or "∞"
        return f"{task['streak']}/{limit} {self._texts.in_a_row}"

    def _times(self, task: dict[str, Any]) -> Child:
        texts = self._texts
        parts: list[Child] = [f"{texts.last_success}: ", self._time(task["succeeded"])]
        if task["running"] is not None:
            parts += [f" · {texts.running}: ", self._time(task["running"], plain=True)]
        elif task["next"] is not None:
            parts += [f" · {texts.next_run}: ", self._time(task["next"])]
        if task["progress"] is not None:
            parts.append(f" · {task['progress'][0]:g}/{task['progress'][1]:g}")
        if task["backlog"] is not None:
            parts.append(f" · {texts.backlog}: {task['backlog']}")
        if task["by"] is not None:
            parts.append(f" · {texts.by}: {task['by']}")
        return parts

    def _time(self, at: float | None, *, plain: bool = False) -> Html:
        """`plain`: how long, and not how long ago."""
        texts = self._texts
        if at is None:
            return tag("span", texts.never)
        distance = at - self._now
        if plain:
            text = span(texts, -distance)
        elif abs(distance) < 1:
            text = texts.now
        else:
            text = (texts.ahead if distance > 0 else texts.ago).format(time=span(texts, abs(distance)))
        return tag("time", text, data_at=f"{at:.3f}", data_plain=plain)

    def _bars(self, bars: tuple[float, str] | None) -> Html | None:
        if bars is None:
            return None
        period, signs = bars
        step = BAR_WIDTH + BAR_GAP
        return tag(
            "svg",
            tag("title", self._texts.bars.format(time=span(self._texts, period))),
            [
                tag(
                    "rect",
                    x=index * step,
                    y=0,
                    width=BAR_WIDTH,
                    height=BAR_HEIGHT,
                    rx=1,
                    class_=_BAR_CLASSES[sign],
                )
                for index, sign in enumerate(signs)
            ],
            class_="bars",
            viewBox=f"0 0 {len(signs) * step - BAR_GAP} {BAR_HEIGHT}",
            preserveAspectRatio="none",
            role="img",
        )

    def _error(self, task: dict[str, Any]) -> Child:
        if task["error"] is None:
            return ""
        where = f" ({self._texts.where}: {task['where']})" if task["where"] else ""
        return f"{task['error']}{where}"

    def _incident(self, one: dict[str, Any]) -> Html:
        taken = self._texts.acknowledged.format(by=one["by"]) if one["by"] else None
        return tag(
            "p",
            tag("b", f"#{one['id']} {one['task'] or ''}", class_=f"pill {one['severity']}"),
            f" {one['summary']} · ",
            self._time(one["opened"]),
            f" · {taken}" if taken else None,
        )

    def _owed(self, one: dict[str, Any]) -> Html:
        texts = self._texts
        return tag(
            "p",
            tag("b", one["kind"]),
            f" {one['task'] or ''} · ",
            self._time(one["since"]),
            f" · {texts.attempts.format(count=one['attempts'])}",
            f" · {one['error']}" if one["error"] else None,
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
                    tag("button", texts.cancel, value="", formnovalidate=True),
                ),
                method="dialog",
            ),
            id="enter",
        )

    def _data(self, wanted: str, *, may_act: bool) -> str:
        """For the script. Nothing in it can end the element: `<` is written as an escape."""
        data = {
            "texts": _words(self._texts),
            "signs": SIGNS,
            "now": self._now,
            "wanted": wanted,
            "acts": may_act,
        }
        return json.dumps(data, ensure_ascii=False).replace("<", "\\u003c")


def _words(texts: Texts) -> dict[str, Any]:
    return asdict(texts)


@cache
def _file(name: str) -> str:
    return files("dozor.web").joinpath(name).read_text("utf-8")
