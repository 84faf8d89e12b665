"""The base class of all sections."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from dozor.config.values import fields
from dozor.config.values.durations import parse_positive
from dozor.config.values.sizes import parse_size
from dozor.language import msg


@dataclass(frozen=True, slots=True)
class Kind:
    """What a key takes, in words, for the reference."""

    words: str
    default: str = ""
    """The default in words, where the value itself would say too little."""


def _whole(value: object) -> int:
    return fields.parse_whole(value, msg("config-not-whole", value="{value}"))


Duration = Annotated[float, BeforeValidator(parse_positive), Kind("duration")]
Count = Annotated[int, BeforeValidator(_whole), Field(ge=1), Kind("whole number, at least 1")]
PoolSize = Annotated[int, BeforeValidator(_whole), Field(ge=1, le=500), Kind("whole number, 1 to 500")]
Size = Annotated[int, BeforeValidator(parse_size), Kind("amount of memory, such as `512MB`")]
Number = Annotated[float, BeforeValidator(fields.parse_number)]
Timezone = Annotated[ZoneInfo, BeforeValidator(fields.parse_timezone), Kind("name of a timezone")]
UserId = Annotated[int, BeforeValidator(fields.parse_user_id)]
UserIds = Annotated[
    tuple[UserId, ...],
    BeforeValidator(fields.parse_user_ids),
    Kind('list of user ids; one id or text such as "111, 222" will do'),
]
SetupReference = Annotated[
    str, BeforeValidator(fields.parse_reference), Kind("`module:function`, an async context manager")
]
Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value), Kind("text")]


class Section(BaseModel):
    """What all parts have in common."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    not_keys: ClassVar[frozenset[str]] = frozenset()
    """Fields that the loader fills in; no keys of the file."""

    @classmethod
    def known_keys(cls) -> list[str]:
        """The keys this part may hold in the file."""
        return [name for name in cls.model_fields if name not in cls.not_keys]
