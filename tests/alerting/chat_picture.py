"""The picture of the chat in the READMEs, drawn from the transcript of a real incident.

    python -m tests.alerting.chat_picture

reads docs/images/chat.LANGUAGE.txt, which tests/alerting/test_transcript.py writes, and writes
chat.LANGUAGE.svg beside it.
"""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from html import escape

from tests.house.sources import ROOT

IMAGES = ROOT / "docs" / "images"
LANGUAGES = ("en", "ru")
WIDTH, MARGIN, PADDING = 660, 16, 12
LINE, BUTTON, GAP = 20, 30, 10
COLUMNS = 72
"""Characters of a line before it is wrapped."""
STYLE = """\
text { font: 14px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; fill: #17212b }
.back { fill: #dfe7ec } .bubble { fill: #ffffff } .button { fill: #e6eff5 }
.head { font-weight: 600 } .small { font-size: 12px; fill: #5b6b78 }
.label { fill: #1d6fa5; text-anchor: middle }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f4f7 } .back { fill: #0e1621 } .bubble { fill: #182533 } .button { fill: #24384b }
  .small { fill: #93a6b5 } .label { fill: #7cc4ff }
}"""
_HEADER = re.compile(r"^\d\d:\d\d ")
_BUTTONS = re.compile(r"^(\[[^\]]*\] ?)+$")


@dataclass(frozen=True, slots=True)
class Event:
    """A message that came, or what was changed in one. `heading`: the time, and which message it is."""

    heading: str
    lines: tuple[str, ...]
    buttons: tuple[tuple[str, ...], ...]


def parse(transcript: str) -> list[Event]:
    """The events in order, without changes that repeat what an earlier one shows."""
    events: list[Event] = []
    for part in transcript.strip().split("\n\n"):
        heading, *rest = part.splitlines()
        assert _HEADER.match(heading), heading
        body = [line.strip() for line in rest]
        lines = tuple(line for line in body if not _BUTTONS.match(line))
        rows = tuple(tuple(re.findall(r"\[([^\]]*)\]", line)) for line in body if _BUTTONS.match(line))
        if not any(set(lines) <= set(event.lines) for event in events):
            events.append(Event(heading, lines, rows))
    return events


def draw(events: list[Event]) -> str:
    """SVG 1.1 without scripts or foreign files, so that it may stand in a README."""
    parts: list[str] = []
    top = MARGIN
    for event in events:
        drawn, height = _bubble(event, top)
        parts += drawn
        top += height + GAP
    total = top - GAP + MARGIN
    title = escape(events[0].lines[0])
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{total}"'
            f' viewBox="0 0 {WIDTH} {total}" role="img" aria-label="{title}">',
            f"<style>\n{STYLE}\n</style>",
            f'<rect class="back" width="{WIDTH}" height="{total}" rx="12"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _bubble(event: Event, top: int) -> tuple[list[str], int]:
    wrapped = [
        (piece, index == 0)
        for index, line in enumerate(event.lines)
        for piece in textwrap.wrap(line, COLUMNS)
    ]
    inner = WIDTH - 2 * MARGIN
    height = 2 * PADDING + LINE * (len(wrapped) + 1) + (BUTTON + 4) * len(event.buttons) - 4
    parts = [f'<rect class="bubble" x="{MARGIN}" y="{top}" width="{inner}" height="{height}" rx="10"/>']
    y = top + PADDING + 12
    parts.append(f'<text class="small" x="{MARGIN + PADDING}" y="{y}">{escape(event.heading)}</text>')
    for text, head in wrapped:
        y += LINE
        kind = ' class="head"' if head else ""
        parts.append(f'<text{kind} x="{MARGIN + PADDING}" y="{y}">{escape(text)}</text>')
    y += 10
    for row in event.buttons:
        width = (inner - 2 * PADDING - 4 * (len(row) - 1)) / len(row)
        for index, label in enumerate(row):
            x = MARGIN + PADDING + index * (width + 4)
            parts.append(
                f'<rect class="button" x="{x:.0f}" y="{y}" width="{width:.0f}" height="{BUTTON}" rx="6"/>'
            )
            parts.append(f'<text class="label" x="{x + width / 2:.0f}" y="{y + 20}">{escape(label)}</text>')
        y += BUTTON + 4
    return parts, height


def main() -> None:
    for language in LANGUAGES:
        transcript = (IMAGES / f"chat.{language}.txt").read_text("utf-8")
        (IMAGES / f"chat.{language}.svg").write_text(draw(parse(transcript)), "utf-8")


if __name__ == "__main__":
    main()
