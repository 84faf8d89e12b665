"""What the stand-in answers when it does not do what it was asked."""

from __future__ import annotations

from typing import Any


class Refusal(Exception):  # noqa: N818 -- an answer of the API, not a failure of the stand-in
    """Becomes `{"ok": false, …}` with this status."""

    def __init__(self, status: int, description: str, parameters: dict[str, Any] | None = None) -> None:
        super().__init__(description)
        self.status = status
        self.description = description
        self.parameters = parameters

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = {"ok": False, "error_code": self.status, "description": self.description}
        if self.parameters:
            body["parameters"] = self.parameters
        return body


def bad_request(text: str, **parameters: Any) -> Refusal:
    return Refusal(400, f"Bad Request: {text}", parameters or None)


def forbidden(text: str) -> Refusal:
    return Refusal(403, f"Forbidden: {text}")


def too_many_requests(seconds: int) -> Refusal:
    return Refusal(429, f"Too Many Requests: retry after {seconds}", {"retry_after": seconds})
