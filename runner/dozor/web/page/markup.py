"""HTML by construction: everything that is not `Html` is escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable

_VOID = frozenset(("meta", "link", "input", "br"))


class Html(str):
    """Markup, ready to be sent."""

    __slots__ = ()


Child = Html | str | None | Iterable["Child"]


def tag(name: str, /, *children: Child, **attributes: str | int | float | bool | None) -> Html:
    """One element. `class_` is class, `data_at` is data-at; None and False leave an attribute out."""
    written = "".join(
        f" {_attribute(key)}" if value is True else f' {_attribute(key)}="{html.escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None and value is not False
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: Child) -> Html:
    """One after the other, each escaped unless it is markup."""
    parts: list[str] = []
    for child in children:
        if child is None:
            continue
        if isinstance(child, Html):
            parts.append(child)
        elif isinstance(child, str):
            parts.append(html.escape(child))
        else:
            parts.append(join(*child))
    return Html("".join(parts))


def raw(trusted: str) -> Html:
    """Our own files only: style and script."""
    return Html(trusted)


def _attribute(key: str) -> str:
    return key.rstrip("_").replace("_", "-")
