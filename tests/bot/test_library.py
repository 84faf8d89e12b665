"""aiogram's models are built at their first use, and then are those that aiogram builds at its import."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.effort import SOAK

PROGRAM = """
import json, sys, warnings
if sys.argv[1] == "aiogram first":
    import aiogram
import dozor_bot.app
from aiogram import types
from aiogram.methods import SendMessage
from aiogram.methods.base import Response
from pydantic import BaseModel
from pydantic.json_schema import PydanticJsonSchemaWarning

warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
before = [name for name in types.__all__ if getattr(getattr(types, name), "__pydantic_complete__", False)]

class Own(BaseModel):  # of somebody's application
    message: types.Message

person = {"id": 2, "is_bot": False, "first_name": "Ann"}
message = {"message_id": 1, "date": 1, "chat": {"id": 1, "type": "private"}, "from": person, "text": "hello",
           "entities": [{"type": "text_mention", "offset": 0, "length": 5, "user": person}]}
update = types.Update.model_validate({"update_id": 7, "message": message})
answer = Response[types.Message].model_validate({"ok": True, "result": message})
sent = SendMessage(chat_id=1, text="hello", entities=[{"type": "bold", "offset": 0, "length": 5}])
print(json.dumps({
    "complete before": len(before),
    "said": [
        repr(update), repr(answer), repr(sent), repr(Own(message=message)),
        json.dumps(types.Message.model_json_schema(), sort_keys=True, default=str),
    ],
}))
"""


def ran(first: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, first], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    return said


def test_models_are_built_when_they_are_used() -> None:
    done = ran("dozor first")
    assert done["complete before"] < 100  # those without a reference to another
    update, answer, sent, own, schema = done["said"]
    for text in (update, answer, own):
        assert "User(id=2, is_bot=False, first_name='Ann'" in text
        assert "entities=[MessageEntity(type='text_mention'" in text
    assert "entities=[MessageEntity(type='bold'" in sent
    assert "MessageEntity" in json.loads(schema)["$defs"]


@pytest.mark.skipif(not SOAK, reason="aiogram's own import takes 3 s of CPU")
def test_they_are_those_that_aiogram_builds() -> None:
    later, at_once = ran("dozor first"), ran("aiogram first")
    assert later["complete before"] * 4 < at_once["complete before"]
    assert later["said"] == at_once["said"]


def test_another_import_of_it_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it runs with aiogram loaded: models and pydantic stay as they are."""
    from pydantic import BaseModel

    before = BaseModel.__dict__["model_rebuild"]
    monkeypatch.delitem(sys.modules, "dozor_bot.library")
    import dozor_bot.library  # noqa: F401

    assert BaseModel.__dict__["model_rebuild"] is before
