"""Checks a call against the method table of the Bot API, and texts against its limits."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from tests.bot.botapi.refusal import Refusal, bad_request

TABLE: dict[str, Any] = json.loads(Path(__file__).with_name("methods.json").read_text("utf-8"))

TEXT_LIMIT = 4096
CAPTION_LIMIT = 1024
CALLBACK_DATA_BYTES = 64
CALLBACK_ANSWER_LIMIT = 200
MARKUP_BYTES = 10_000
STYLES = {"bold", "italic", "underline", "strikethrough", "spoiler"}
TRUE_WORDS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "": False}

Params = dict[str, Any]


class Upload:
    """A file sent along."""

    def __init__(self, filename: str, content: bytes) -> None:
        self.filename = filename
        self.content = content

    def __repr__(self) -> str:
        return f"Upload({self.filename!r}, {len(self.content)} bytes)"


def read_params(method: str, raw: dict[str, Any], files: dict[str, Upload]) -> tuple[Params, list[str]]:
    """The call's parameters as their own types, and the fields the table does not know (they are ignored)."""
    fields = TABLE["methods"].get(method)
    if fields is None:
        raise Refusal(404, "Not Found: method not found")
    params: Params = {}
    for name, value in raw.items():
        if name in fields:
            params[name] = _typed(name, fields[name]["types"], value, files)
    for name, field in fields.items():
        if field["required"] and params.get(name) in (None, ""):
            if name == "text":
                raise bad_request("message text is empty")
            raise bad_request(f"parameter {name} is required")
    return params, [name for name in raw if name not in fields]


def _typed(name: str, types: list[str], value: Any, files: dict[str, Upload]) -> Any:
    if "InputFile" in types and isinstance(value, Upload):
        return value
    if "InputFile" in types and isinstance(value, str) and value.startswith("attach://"):
        upload = files.get(value.removeprefix("attach://"))
        if upload is None:
            raise bad_request(f"file must be non-empty: {name}")
        return upload
    if types == ["Integer"] or ("Integer" in types and str(value).lstrip("-").isdigit()):
        try:
            return int(value)
        except (TypeError, ValueError):
            raise bad_request(f"parameter {name} must be an Integer") from None
    if types == ["Boolean"]:
        if isinstance(value, bool):
            return value
        return TRUE_WORDS.get(str(value).lower(), True)
    if "String" in types:
        return str(value)
    return _structure(name, types, value)


def _structure(name: str, types: list[str], value: Any) -> Any:
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise bad_request(f"can't parse {name}: expected a JSON value") from None
    for wanted in types:
        many = wanted.startswith("Array of ")
        if many is not isinstance(value, list):
            continue
        for item in value if many else [value]:
            check_object(name, wanted.removeprefix("Array of "), item)
        return value
    raise bad_request(f"can't parse {name}: wrong JSON type")


def check_object(where: str, type_name: str, value: Any) -> None:
    """Required fields of an object are there. Types outside the table are let through."""
    fields = TABLE["types"].get(type_name)
    if not fields:
        return
    if not isinstance(value, dict):
        raise bad_request(f"can't parse {where}: expected an Object")
    for name, field in fields.items():
        if field["required"] and name not in value:
            raise bad_request(f"can't parse {where}: field {name} is required")


def check_text(text: str, entities: list[dict[str, Any]] | None, limit: int, what: str = "message") -> str:
    """The text as it would be stored (ends trimmed), or a refusal."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    if len(text.strip()) == 0 and limit == TEXT_LIMIT:
        raise bad_request(f"{what} text is empty")
    if len(text.strip()) > limit:
        raise bad_request(f"{what} is too long" if limit == TEXT_LIMIT else f"{what} caption is too long")
    units = text.encode("utf-16-le")
    for number, entity in enumerate(entities or []):
        offset, length = entity["offset"], entity["length"]
        if offset < 0 or length <= 0 or (offset + length) * 2 > len(units):
            raise bad_request(f"can't parse entities: entity {number} is out of the text")
        for edge in (offset, offset + length):
            if _inside_a_pair(units, edge):
                raise bad_request(f"can't parse entities: entity {number} splits a UTF-16 surrogate pair")
        if entity["type"] == "text_mention" and type((entity.get("user") or {}).get("id")) is not int:
            raise bad_request("can't parse entities: can't find field \"user\"")
    _check_nesting(entities or [])
    return text.strip()


def _check_nesting(entities: list[dict[str, Any]]) -> None:
    """https://core.telegram.org/bots/api#formatting-options: which may lie inside which."""
    for one, other in itertools.combinations(entities, 2):
        (begin, end), (first, last) = _span(one), _span(other)
        if end <= first or last <= begin:
            continue
        inside = (begin <= first and last <= end) or (first <= begin and end <= last)
        types = {one["type"], other["type"]}
        if not inside or types & {"code", "pre"} or not types & STYLES:
            raise bad_request(f"can't parse entities: {sorted(types)} may not overlap like this")


def _span(entity: dict[str, Any]) -> tuple[int, int]:
    return entity["offset"], entity["offset"] + entity["length"]


def _inside_a_pair(units: bytes, edge: int) -> bool:
    unit = int.from_bytes(units[edge * 2 : edge * 2 + 2], "little")
    return 0xDC00 <= unit <= 0xDFFF


def check_markup(markup: dict[str, Any] | None) -> None:
    """Inline keyboards only: labels, data of at most 64 bytes, the whole of at most about 10 kB."""
    if markup is None or "inline_keyboard" not in markup:
        return
    if len(json.dumps(markup, ensure_ascii=False).encode()) > MARKUP_BYTES:
        raise bad_request("reply markup is too long")
    buttons = [button for row in markup["inline_keyboard"] for button in row]
    if len(buttons) > 100:
        raise bad_request("BUTTON_COUNT_INVALID")
    for button in buttons:
        check_object("inline keyboard button", "InlineKeyboardButton", button)
        if not button["text"].strip():
            raise bad_request("can't parse inline keyboard button: text buttons can't be empty")
        data = button.get("callback_data")
        if data is not None and not 1 <= len(data.encode()) <= CALLBACK_DATA_BYTES:
            raise bad_request("BUTTON_DATA_INVALID")
