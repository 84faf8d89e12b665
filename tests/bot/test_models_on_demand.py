"""aiogram's models are built at their first use. In a process of its own: a process imports aiogram once."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.effort import cases

PROGRAM = """
import json, random, sys
import dozor_bot.models_on_demand
from aiogram import types
from aiogram import methods as their_methods
from aiogram.methods.base import TelegramMethod
from aiogram.types.base import TelegramObject
from dozor_bot.telegram import methods as our_methods

def classes(module, base):
    found = [value for value in vars(module).values() if isinstance(value, type) and value is not base]
    return [value for value in found if issubclass(value, base)]

models = classes(types, TelegramObject) + classes(their_methods, TelegramMethod)
ours = [one for one in classes(our_methods, TelegramMethod) if one.__module__ == our_methods.__name__]
replaced = ["model_rebuild" in vars(TelegramObject)]
dozor_bot.models_on_demand.build_models_on_demand()  # somebody has imported it: nothing happens
replaced.append("model_rebuild" in vars(TelegramObject))
built = sum(model.__pydantic_complete__ for model in models)
inner = {{"message_id": 1, "date": 1, "chat": {{"id": 1, "type": "private"}}, "text": "x"}}
message = types.Message.model_validate({{**inner, "message_id": 2, "reply_to_message": inner}})
for model in random.sample(models, min({count}, len(models))):
    model.model_rebuild()  # PydanticUndefinedAnnotation if it names a type that it does not find
    assert model.__pydantic_complete__, model
print(json.dumps({{
    "models": len(models),
    "built": built,
    "ours": [one.__pydantic_complete__ for one in ours],
    "replaced": replaced,
    "finders": [type(finder).__module__ for finder in sys.meta_path],
    "types": [type(message.reply_to_message).__name__, type(message.reply_to_message.chat).__name__],
}}))
"""


def test_models_are_built_at_their_first_use() -> None:
    program = PROGRAM.format(count=cases(30, 1000))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["models"] > 500
    assert found["built"] == 0
    assert found["ours"]
    assert all(found["ours"])
    assert found["replaced"] == [False, False]
    assert "dozor_bot.models_on_demand" not in found["finders"]
    assert found["types"] == ["Message", "Chat"]
