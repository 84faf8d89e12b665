"""Faults on demand: the next N calls of a method (or of any) in a chat (or in any) end this way."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from tests.bot.botapi.refusal import Refusal, bad_request, forbidden, too_many_requests

TERMINATED = (
    "Conflict: terminated by other getUpdates request; make sure that only one bot instance is running"
)


class FaultKind(StrEnum):
    RETRY_AFTER = "retry_after"
    """429 with `parameters.retry_after` = seconds."""
    FLOOD_BARE = "flood_bare"
    """429 without parameters and without seconds in the text."""
    SERVER_ERROR = "server_error"
    """`status` with an HTML body, as a proxy in front of Telegram answers."""
    SERVER_ERROR_JSON = "server_error_json"
    RESET = "reset"
    """The connection is reset before the body is read."""
    CUT_AFTER_ACCEPT = "cut_after_accept"
    """Carried out, and the connection closed before the answer."""
    HANG = "hang"
    """Carried out never, answered never: held until `seconds` pass or the server stops."""
    HANG_AFTER_ACCEPT = "hang_after_accept"
    HALF_BODY = "half_body"
    """Carried out; half of the promised bytes, then the connection is closed."""
    HALF_JSON = "half_json"
    """Carried out; a whole answer whose JSON ends in the middle."""
    NONSENSE = "nonsense"
    """200 with a body that is not JSON."""
    NONSENSE_JSON = "nonsense_json"
    """200 with JSON that is no answer of the API."""
    UNAUTHORIZED = "unauthorized"
    KICKED = "kicked"
    BLOCKED = "blocked"
    CHAT_NOT_FOUND = "chat_not_found"
    TOPIC_CLOSED = "topic_closed"
    TOPIC_NOT_FOUND = "topic_not_found"
    BAD_ENTITIES = "bad_entities"
    """Any text with entities is refused."""
    CONFLICT = "conflict"
    REFUSE = "refuse"
    """`status` with `description`."""
    ANSWER = "answer"
    """Not carried out; `status` with `body`, of whatever form, and `headers`."""


@dataclass(slots=True)
class Fault:
    """`times` None: until cleared. `method` and `chat_id` None: any."""

    kind: FaultKind
    method: str | None = None
    chat_id: int | None = None
    times: int | None = 1
    seconds: float = 1.0
    status: int = 502
    description: str = ""
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def applies(self, method: str, params: dict[str, Any]) -> bool:
        if self.times == 0 or self.method not in (None, method):
            return False
        if self.kind is FaultKind.BAD_ENTITIES and not (
            params.get("entities") or params.get("caption_entities")
        ):
            return False
        return self.chat_id is None or self.chat_id == params.get("chat_id")

    def refusal(self) -> Refusal | None:
        """The JSON refusal, if it is one; the others are played by the server."""
        match self.kind:
            case FaultKind.RETRY_AFTER:
                return too_many_requests(int(self.seconds))
            case FaultKind.FLOOD_BARE:
                return Refusal(429, "Too Many Requests: try again later")
            case FaultKind.SERVER_ERROR_JSON:
                return Refusal(self.status, self.description or "Internal Server Error")
            case FaultKind.UNAUTHORIZED:
                return Refusal(401, "Unauthorized")
            case FaultKind.KICKED:
                return forbidden("bot was kicked from the supergroup chat")
            case FaultKind.BLOCKED:
                return forbidden("bot was blocked by the user")
            case FaultKind.CHAT_NOT_FOUND:
                return bad_request("chat not found")
            case FaultKind.TOPIC_CLOSED:
                return bad_request("TOPIC_CLOSED")
            case FaultKind.TOPIC_NOT_FOUND:
                return bad_request("message thread not found")
            case FaultKind.BAD_ENTITIES:
                return bad_request("can't parse entities: unsupported entity")
            case FaultKind.CONFLICT:
                return Refusal(
                    409,
                    TERMINATED,
                )
            case FaultKind.REFUSE:
                return Refusal(self.status, self.description)
            case _:
                return None


class Faults:
    """The script. The first fault that applies is used up by one call."""

    def __init__(self) -> None:
        self._script: list[Fault] = []

    def add(self, fault: Fault) -> None:
        self._script.append(fault)

    def clear(self) -> None:
        self._script.clear()

    def resets(self, method: str) -> bool:
        """The first fault that applies, whatever the chat, is a reset: play it before the body is read."""
        first = next((fault for fault in self._script if fault.applies(method, {})), None)
        return first is not None and first.kind is FaultKind.RESET

    def next(self, method: str, params: dict[str, Any]) -> Fault | None:
        for fault in self._script:
            if fault.applies(method, params):
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None
