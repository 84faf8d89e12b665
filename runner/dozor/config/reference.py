"""`docs/configuration.md`, rendered from the models and the docstrings of their fields.

`python -m dozor.config.reference > docs/configuration.md` renews it.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import sys
import types
import typing
from enum import StrEnum
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from dozor.config.sections import alerts, tasks
from dozor.config.sections import config as models
from dozor.config.sections import supervision as watching
from dozor.config.sections.base import Kind, Section
from dozor.config.sections.cluster import ClusterConfig
from dozor.config.sections.databases import NamedDatabase
from dozor.config.sections.totp import TotpConfig
from dozor.config.values.durations import format_duration

_HEAD = """# config.yaml

Rendered from the models by `python -m dozor.config.reference`; a test keeps it so.
`dozor check` reads the file, imports every checker and reports every mistake at once, each with its line.

## Values

**Durations**: `250ms`, `60s`, `5m`, `1h30m`, `2d`, or a number of seconds.

**References**, in any value:

| written | filled in |
|---|---|
| `${NAME}` | the environment variable; unset is an error |
| `${NAME:-default}` | the variable, or `default` if it is unset or empty |
| `${file:PATH}` | the text of a file, relative to the config file, without the newlines at its end |
| `$${` | a literal `${` |

A value without quotes is typed after it is filled in, so `${PORT}` may be a number and an empty one is null;
in quotes it stays text. Numbers like `0123` and `1:30` are text. Anchors, aliases and `<<:` work.
"""

_SECTIONS: tuple[tuple[str, type[Section]], ...] = (
    ("database", models.DatabaseConfig),
    ("telegram", models.TelegramConfig),
    ("alerts", alerts.AlertsConfig),
    ("oncall", alerts.OnCallConfig),
    ("web", models.WebConfig),
    ("supervision", watching.SupervisionConfig),
    ("limits", watching.LimitsConfig),
    ("cluster", ClusterConfig),
)

_DEFAULTS = """## defaults

Any key of a task. A task's own key replaces the default as a whole, mappings included; a task's own `every`
or `cron` replaces an inherited schedule. `every: null` makes a task continuous again.
"""


def reference() -> str:
    """The whole page."""
    parts = [_HEAD, "## Top level\n", _table(models.Config, links=[name for name, _ in _SECTIONS])]
    for name, model in _SECTIONS:
        parts += [f"## {name}\n", _intro(model), _table(model)]
    parts += [
        "## dependencies\n",
        "A mapping of names to checks. " + _intro(watching.DependencyConfig),
    ]
    parts.append(_table(watching.DependencyConfig))
    parts += [
        "## databases\n",
        "A mapping of names to databases. " + _intro(NamedDatabase),
        _table(NamedDatabase),
    ]
    parts += [_DEFAULTS, "## tasks\n", "A mapping of names to tasks. " + _intro(tasks.TaskConfig)]
    parts.append("A name is " + docstrings_of(tasks.TaskConfig)["name"] + "\n")
    parts.append(_table(tasks.TaskConfig))
    parts += ["### restart_delay as a mapping\n", _intro(tasks.RestartDelay), _table(tasks.RestartDelay)]
    parts += ["### max_failures\n", _intro(tasks.FailureWindow), _table(tasks.FailureWindow)]
    parts += _alerts()
    parts += ["### alerts of a task\n", _intro(tasks.TaskAlerts), _table(tasks.TaskAlerts)]
    return "\n".join(parts)


def _alerts() -> list[str]:
    """Mappings and lists in `database`, `alerts`, `telegram` and `oncall`."""
    parts = []
    for name, model in (
        ("database.pools", models.PoolsConfig),
        ("alerts.chats", alerts.ChatRoute),
        ("alerts.escalate", alerts.EscalationLevel),
        ("alerts.second_channel", alerts.SecondChannel),
        ("alerts.heartbeat", alerts.Heartbeat),
        ("telegram.totp", TotpConfig),
        ("oncall.people", alerts.PersonConfig),
        ("oncall.rotation", alerts.RotationConfig),
    ):
        parts += [f"### {name}\n", _intro(model), _table(model)]
    return parts


def _intro(model: type[Section]) -> str:
    return inspect.cleandoc(model.__doc__ or "") + "\n"


def _table(model: type[Section], links: typing.Sequence[str] = ()) -> str:
    meanings = docstrings_of(model)
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name in model.known_keys():
        if name == "defaults":
            rows.append("| `defaults` | [mapping](#defaults) |  | Keys for all tasks. |")
            continue
        info = model.model_fields[name]
        if model is models.Config and name == "tasks":
            value, default = "[mapping](#tasks)", "required"
        elif (model is models.Config and name in ("dependencies", "databases")) or name in links:
            value, default = f"[mapping](#{name})", ""
        else:
            value, default = kind_words(info), _default(info)
        meaning = " ".join(meanings[name].split())
        rows.append(f"| `{name}` | {value} | {default} | {meaning} |")
    return "\n".join(rows) + "\n"


def docstrings_of(model: type[Section]) -> dict[str, str]:
    """The text under each field. Read from the source, so that importing the models stays quick."""
    module = sys.modules[model.__module__]
    tree = ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))
    body = next(
        node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == model.__name__
    )
    found = {}
    for field, after in itertools.pairwise(body):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
            case _:
                pass
    return found


def kind_words(info: FieldInfo) -> str:
    kinds = [*_kinds_in(info.annotation), *(item for item in info.metadata if isinstance(item, Kind))]
    if kinds:
        # The outermost is the last, and says the most.
        return kinds[-1].words
    annotation: Any = info.annotation
    for option in (annotation, *typing.get_args(annotation)):
        if isinstance(option, type) and issubclass(option, StrEnum):
            return ", ".join(f"`{member}`" for member in option)
        if isinstance(option, type) and issubclass(option, Section):
            return "mapping, see below"
    return {bool: "`true`, `false`", Path: "path"}[annotation]


def _kinds_in(annotation: Any) -> list[Kind]:
    kinds: list[Kind] = []
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        for option in typing.get_args(annotation):
            kinds += _kinds_in(option)
    elif typing.get_origin(annotation) is typing.Annotated:
        kinds += [item for item in annotation.__metadata__ if isinstance(item, Kind)]
    return kinds


def _default(info: FieldInfo) -> str:
    kinds = [item for item in info.metadata if isinstance(item, Kind) and item.default]
    if kinds:
        return kinds[-1].default
    if info.is_required():
        return "required"
    factory: Any = info.default_factory
    value = factory() if factory is not None else info.default
    if value is PydanticUndefined:
        raise AssertionError("a field is required, or has a default")
    return _written(value, kind_words(info))


def _written(value: object, kind: str) -> str:
    match value:
        case None:
            return "`embedded`" if "embedded" in kind else ""
        case bool():
            return "`true`" if value else "`false`"
        case float() if kind == "duration":
            return f"`{format_duration(value)}`"
        case int() | float():
            return f"`{value:g}`"
        case ZoneInfo():
            return f"`{value.key}`"
        case StrEnum() | Path() | models.ListenAddress():
            return f"`{value}`"
        case tuple() | dict() | "":
            return ""
        case str():
            return f"`{value}`"
        case tasks.RestartDelay():
            return f"`{format_duration(value.initial)}`"
        case tasks.Stop():
            return "`stop`"
        case Section():
            return ""
        case _:
            raise AssertionError(f"no words for a default of type {type(value).__name__}")


if __name__ == "__main__":
    sys.stdout.write(reference())
