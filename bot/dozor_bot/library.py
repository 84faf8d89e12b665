"""Imports aiogram with its models built when they are first used; to be imported before aiogram.

aiogram builds the pydantic schema of each of its 300 types as it is imported: 2.3 s of CPU and 100 MB. The
bot uses a few of them. Here the building is put off in the way that pydantic has for it: a model that is not
complete is built at its first use. Where aiogram was imported before, its models are complete already.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from pydantic import BaseModel

TYPES: Final = "aiogram.types"


@contextmanager
def _put_off() -> Iterator[dict[str, Any]]:
    """Within this block models of aiogram's types are not built.

    Gives the names that aiogram builds them with: what their annotations refer to.
    """
    original = BaseModel.__dict__["model_rebuild"]
    names: dict[str, Any] = {}

    def rebuild(cls: type[BaseModel], /, **options: Any) -> bool | None:
        if cls.__module__.startswith(TYPES):
            names.update(options.get("_types_namespace") or {})
            return None
        # Of another thread. The names of its caller are one frame further away.
        options["_parent_namespace_depth"] = options.get("_parent_namespace_depth", 2) + 1
        result: bool | None = original.__func__(cls, **options)
        return result

    BaseModel.model_rebuild = classmethod(rebuild)  # type: ignore[method-assign, assignment]
    try:
        yield names
    finally:
        BaseModel.model_rebuild = original  # type: ignore[method-assign]


def _load() -> None:
    with _put_off() as names:
        from aiogram import types
    # Their modules import these names for type checkers only; a model is built with those of its module.
    for name in [name for name in sys.modules if name.startswith(f"{TYPES}.")]:
        for missing in names.keys() - vars(sys.modules[name]).keys():
            setattr(sys.modules[name], missing, names[missing])
    if types.InputMediaPhoto.model_rebuild(raise_errors=False) is False:
        # Another version of aiogram or pydantic, with which this does not work: all of them, as aiogram does.
        for name in types.__all__:
            if hasattr(found := getattr(types, name), "model_rebuild"):
                found.model_rebuild(_types_namespace=names)


if TYPES not in sys.modules:
    _load()
