"""Variables of modules that outlive a test are known to `tests.module_state`."""

from __future__ import annotations

import ast
import importlib
from collections.abc import Iterator

from tests.house.sources import constants, module_name, python_files
from tests.module_state import FORGOTTEN, KEPT, forget


def test_every_variable_that_a_module_changes_is_cleared_after_each_test_or_kept_for_a_reason() -> None:
    found = {
        (module_name(path), name)
        for path in python_files("runner", "bot")
        for name in _variables(ast.parse(path.read_text()))
    }
    assert found == {*FORGOTTEN, *KEPT}, "name it in tests/module_state.py"
    assert not KEPT.keys() & set(FORGOTTEN)


def test_what_a_test_left_is_gone_after_it() -> None:
    variables = [getattr(importlib.import_module(module), name) for module, name in FORGOTTEN]
    assert all(isinstance(variable, set) and not variable for variable in variables)
    for variable in variables:
        variable.add("left by a test")
    forget()
    assert not any(variables)


def test_variables_are_told_from_constants() -> None:
    source = """
from collections import deque
_seen: set[str] = set()
WAITING = []
_last = deque(maxlen=3)
_by_name = {"a": 1}
_tool = Tool().work
_parser = make_parser()
__all__ = ["f"]
TABLE = {"a": 1}
_Pair = tuple[int, int]
logger = _Pair
count = 0

class Tool: ...

def f():
    global count
    count += 1
"""
    assert set(_variables(ast.parse(source))) == {"_seen", "WAITING", "_last", "_by_name", "_tool", "count"}


CONTAINERS = frozenset(
    {"set", "dict", "list", "deque", "defaultdict", "Counter", "OrderedDict"}
    | {"WeakKeyDictionary", "WeakValueDictionary", "WeakSet"}
)


def _variables(tree: ast.Module) -> Iterator[str]:
    """Names that functions assign to as `global`, containers, and objects of the module's own classes.

    A name in capital letters is a constant, unless it is empty at first.
    """
    made_here = CONTAINERS | {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Global):
            yield from node.names
    for name, value in constants(tree):
        match value.value if isinstance(value, ast.Attribute) else value:
            case _ if name.startswith("__"):
                continue
            case (
                ast.Dict(keys=[])
                | ast.List(elts=[])
                | ast.Call(func=ast.Name(id="set" | "dict" | "list"), args=[])
            ):
                yield name
            case ast.Dict() | ast.List() | ast.Set() | ast.DictComp() | ast.ListComp() | ast.SetComp():
                if name.strip("_").islower():
                    yield name
            case ast.Call(func=ast.Name(id=kind)) if kind in made_here and name.strip("_").islower():
                yield name
            case _:
                pass
