"""What the user sees of a failure: docker's HTTP status and wording. Every package above `runtime` raises these."""

from __future__ import annotations

from typing import ClassVar


class EngineError(Exception):
    """An answer other than success; `str(self)` becomes docker's `message`, `status` the HTTP status. `reason`: a word
    for clients that react to this failure by itself; "": for most there is none."""

    status: ClassVar[int] = 500
    reason: ClassVar[str] = ""


class NotModified(EngineError):
    """304: the object already is in the state asked for. Carries no body."""

    status = 304


class BadRequest(EngineError):
    status = 400


class Unauthorized(EngineError):
    status = 401


class Forbidden(EngineError):
    status = 403


class NotFound(EngineError):
    status = 404


class Conflict(EngineError):
    status = 409


class NameTaken(Conflict):
    """The request would succeed under another name."""

    reason = "name_taken"


class TooLarge(EngineError):
    """A request's body is over its limit."""

    status = 413


class NotImplementedHere(EngineError):
    status = 501


class Unavailable(EngineError):
    status = 503
