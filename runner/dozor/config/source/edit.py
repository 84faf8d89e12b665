"""Changes single values of a YAML file in its text, so that comments, order and layout stay."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from dozor.errors import DozorError
from dozor.language import msg


class NotEditableError(DozorError):
    """The file has a form that is not changed automatically; the message says which."""


def set_in_section(text: str, section: str, values: Mapping[str, str]) -> str:
    """`text` with `values` (a key -> YAML source in one line) in the top-level mapping `section`.

    A key that is there gets the new value, a missing one is added, and so is a missing section. Everything
    else stays byte for byte. The result is parsed and compared before it is returned.

    Raises NotEditableError for text that is not a YAML mapping, for a section that is an alias or merges
    another one, and if anything but the given keys would differ.
    """
    root = _compose(text)
    if root is None:
        changed = text + ("" if not text or text.endswith("\n") else "\n") + _new_section(section, values)
    else:
        entry = next((pair for pair in root.value if pair[0].value == section), None)
        if entry is None:
            changed = _append_section(text, root, section, values)
        else:
            changed = _in_section(text, section, entry[0], entry[1], values)
    _verify(text, changed, section, values)
    return changed


def write_text(path: Path, text: str) -> None:
    """Replace the content of `path` at once; its permissions stay. Raises OSError."""
    path = path.resolve()
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", newline="", dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        temporary = Path(file.name)
        try:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
            os.chmod(temporary, path.stat().st_mode & 0o7777)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    temporary.replace(path)


def _compose(text: str) -> yaml.MappingNode | None:
    """The root; None for a file without values."""
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise NotEditableError(msg("setup-edit-not-yaml")) from error
    if root is None:
        return None
    if not isinstance(root, yaml.MappingNode) or root.flow_style:
        raise NotEditableError(msg("setup-edit-form"))
    return root


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _new_section(section: str, values: Mapping[str, str], end: str = "\n") -> str:
    lines = [f"{section}:", *(f"  {key}: {value}" for key, value in values.items())]
    return "".join(line + end for line in lines)


def _append_section(text: str, root: yaml.MappingNode, section: str, values: Mapping[str, str]) -> str:
    """Before the first section: what stands at the end may be a comment of the last one, or `...`."""
    end = _newline(text)
    first = root.value[0][0].start_mark.index
    return f"{text[:first]}{_new_section(section, values, end)}{end}{text[first:]}"


def _in_section(
    text: str, section: str, key_node: yaml.Node, node: yaml.Node, values: Mapping[str, str]
) -> str:
    if node.start_mark.index < key_node.start_mark.index:
        raise NotEditableError(msg("setup-edit-alias", section=section))  # an alias: the node is elsewhere
    if isinstance(node, yaml.ScalarNode) and not node.value:  # nothing, or only comments under the key
        at = _line_end(text, key_node.end_mark.index)
        end = _newline(text)
        lines = "".join(f"  {key}: {value}{end}" for key, value in values.items())
        return f"{text[:at]}{'' if text[:at].endswith(chr(10)) else end}{lines}{text[at:]}"
    if not isinstance(node, yaml.MappingNode):
        raise NotEditableError(msg("setup-edit-section", section=section))
    pairs = {key.value: (key, value) for key, value in node.value}
    if "<<" in pairs:
        raise NotEditableError(msg("setup-edit-alias", section=section))
    edits: list[tuple[int, int, str]] = []
    missing = {key: value for key, value in values.items() if key not in pairs}
    for key, value in values.items():
        if key in pairs:
            edits.append(_replacement(text, section, *pairs[key], value))
    if missing:
        edits.append(_addition(text, node, missing))
    for begin, end_index, new in sorted(edits, reverse=True):
        text = text[:begin] + new + text[end_index:]
    return text


def _replacement(text: str, section: str, key: yaml.Node, value: yaml.Node, new: str) -> tuple[int, int, str]:
    begin, end = value.start_mark.index, value.end_mark.index
    if begin < key.start_mark.index:
        raise NotEditableError(msg("setup-edit-alias", section=section))
    if begin == end:  # an empty value: `chat:`, perhaps with a comment behind it
        after = text.index(":", key.end_mark.index) + 1
        return after, after, f" {new}"
    anchor = re.search(r"[&!]\S*\s+$", text[key.end_mark.index : begin])
    if anchor:
        raise NotEditableError(msg("setup-edit-alias", section=section))
    if isinstance(value, yaml.CollectionNode) and not value.flow_style:
        # A block list begins on a line of its own, and its end mark is that of the next token.
        begin = text.index(":", key.end_mark.index) + 1
        end = max(_last_index(item) for item in (value, *_descendants(value)) if item is not value)
        return begin, end, f" {new}"
    if isinstance(value, yaml.ScalarNode) and value.style in ("|", ">"):
        raise NotEditableError(msg("setup-edit-section", section=section))
    return begin, end, _aligned(text, begin, end, new)


def _aligned(text: str, begin: int, end: int, new: str) -> str:
    """With blanks, so that a comment behind the value stays in its column where there is space."""
    spaces = re.match(r"[ ]{2,}(?=#)", text[end:])
    if spaces is None or len(new) >= end - begin:
        return new
    return new + " " * (end - begin - len(new))


def _addition(text: str, node: yaml.MappingNode, missing: Mapping[str, str]) -> tuple[int, int, str]:
    """At the beginning of the section: what stands at its end may be a comment of the next one."""
    if node.flow_style:
        inside = ", ".join(f"{key}: {value}" for key, value in missing.items())
        at = node.start_mark.index + 1
        return at, at, f"{inside}, " if node.value else inside
    first = node.value[0][0].start_mark
    lines = "".join(f"{key}: {value}{_newline(text)}{' ' * first.column}" for key, value in missing.items())
    return first.index, first.index, lines


def _descendants(node: yaml.Node) -> list[yaml.Node]:
    found: list[yaml.Node] = []
    for item in node.value if isinstance(node, yaml.CollectionNode) else ():
        for one in item if isinstance(item, tuple) else (item,):
            found += [one, *_descendants(one)]
    return found


def _last_index(node: yaml.Node) -> int:
    block = isinstance(node, yaml.CollectionNode) and not node.flow_style
    return node.start_mark.index if block else node.end_mark.index


def _line_end(text: str, index: int) -> int:
    found = text.find("\n", index)
    return len(text) if found < 0 else found + 1


def _verify(before: str, after: str, section: str, values: Mapping[str, str]) -> None:
    """Only the given keys may differ, and they must have the given values."""
    try:
        old, new = yaml.safe_load(before) or {}, yaml.safe_load(after)
        wanted: dict[str, Any] = {**(old.get(section) or {})}
        wanted |= {key: yaml.safe_load(value) for key, value in values.items()}
        same = new == {**old, section: wanted}
    except (yaml.YAMLError, AttributeError, TypeError):
        same = False
    if not same:
        raise NotEditableError(msg("setup-edit-form"))
