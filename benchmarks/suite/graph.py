"""Bars as SVG, readable on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from xml.sax.saxutils import escape

WIDTH = 720
BAR = 22
GAP = 10
LABEL = 210
"""Pixels of the names at the left."""
FIGURE = 90
"""Pixels kept free for the figure at the right of the longest bar."""
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-size: 15px; font-weight: 600 }
.bar { fill: #8c959f } .own { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 } .bar { fill: #6e7681 } .own { fill: #4493f8 }
}
"""


def bars(title: str, unit: str, values: Mapping[str, float], own: Sequence[str] = ()) -> str:
    """A bar for each value, in the given order; those named in `own` in another colour.

    The scale is linear and begins at 0.
    """
    most = max(values.values(), default=0.0) or 1.0
    height = 40 + len(values) * (BAR + GAP)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}"'
        f' height="{height}" role="img" aria-label="{escape(title, {chr(34): "&quot;"})}">',
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="18">{escape(title)}</text>',
    ]
    for place, (name, value) in enumerate(values.items()):
        top = 36 + place * (BAR + GAP)
        length = max(1.0, value / most * (WIDTH - LABEL - FIGURE))
        kind = "bar own" if name in own else "bar"
        lines += [
            f'<text x="{LABEL - 10}" y="{top + 16}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LABEL}" y="{top}" width="{length:.1f}" height="{BAR}" rx="3"/>',
            f'<text x="{LABEL + length + 8:.1f}" y="{top + 16}">{value:,.3g} {escape(unit)}</text>',
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"
