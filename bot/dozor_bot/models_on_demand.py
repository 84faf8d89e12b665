"""Lets aiogram be imported without the validators of its 400 models: each is built at its first use instead.

aiogram declares its models with pydantic's `defer_build`, but calls `model_rebuild` on each at its import,
since their annotations name types that their modules do not import. That takes 2.5 s of CPU and 100 MB,
and the bot uses few of them: it sends and receives plain data (`dozor_bot.telegram.methods`). Here these
calls are left out, and the names are put into the modules of the models, where pydantic looks them up when
it builds one (https://docs.pydantic.dev/latest/internals/resolving_annotations/). Its methods, which are
models as well, get `defer_build` too, which is another 0.6 s.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import ModuleType
from typing import Any

_TYPES, _BASE_OF_TYPES = "aiogram.types", "aiogram.types.base"
_METHODS, _BASE_OF_METHODS = "aiogram.methods", "aiogram.methods.base"


def build_models_on_demand() -> None:
    """Concerns the next import of aiogram. Nothing happens if it has been imported, or is built otherwise."""
    if "aiogram" not in sys.modules:
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
    """Of the packages of types and methods and their base classes. It goes when the packages are there."""

    def __init__(self) -> None:
        self._then: dict[str, Callable[[ModuleType], None]] = {
            _BASE_OF_TYPES: self._begin_types,
            _TYPES: self._finish_types,
            _BASE_OF_METHODS: self._begin_methods,
            _METHODS: self._finish_methods,
        }
        self._base: Any = None
        self._method: Any = None
        self._modules: set[str] = set()
        self._names: Mapping[str, Any] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        then = self._then.get(name)
        if then is None:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader:
            return None
        spec.loader = _Loader(spec.loader.name, spec.loader.path, then)
        return spec

    def _begin_types(self, module: ModuleType) -> None:
        """From here on to the end of the package's import, no model is rebuilt."""
        base: Any = getattr(module, "TelegramObject", None)
        if hasattr(base, "model_rebuild"):
            self._base = base
            base.model_rebuild = classmethod(self._note)

    def _note(self, model: Any, /, **given: Any) -> Any:
        names: Mapping[str, Any] | None = given.get("_types_namespace")
        if names is None:
            return super(self._base, model).model_rebuild(**given)  # type: ignore[misc]
        self._modules.add(model.__module__)
        self._names = names
        return None

    def _finish_types(self, module: ModuleType) -> None:
        if self._base is None:
            return
        del self._base.model_rebuild
        for name in self._modules:
            there = vars(sys.modules[name])
            for annotated, value in self._names.items():
                there.setdefault(annotated, value)

    def _begin_methods(self, module: ModuleType) -> None:
        method: Any = getattr(module, "TelegramMethod", None)
        if hasattr(method, "model_config"):
            self._method = method
            method.model_config["defer_build"] = True

    def _finish_methods(self, module: ModuleType) -> None:
        """Methods of other packages are built at once again."""
        if self._method is not None:
            for base in (self._method, *self._method.__subclasses__()):  # TelegramMethod[bool] and the like
                base.model_config.pop("defer_build", None)
        sys.meta_path.remove(self)


class _Loader(SourceFileLoader):
    """`then` is called after the module has run, also if it raised."""

    def __init__(self, name: str, path: str, then: Callable[[ModuleType], None]) -> None:
        super().__init__(name, path)
        self._then = then

    def exec_module(self, module: ModuleType) -> None:
        try:
            super().exec_module(module)
        finally:
            self._then(module)
