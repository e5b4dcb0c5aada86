"""From method and path to a handler, by docker's rules.

Every route exists with and without a version prefix; an unknown path and a known path with another method are both
404 "page not found" (daemon/server/server.go).
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote

from vmagent.api.messages import NEWEST, OLDEST, Request, Response, Version, error_response

Handler = Callable[[Request], Awaitable[Response | None]]
H = TypeVar("H", bound=Handler)

_VERSION = re.compile(r"/v([0-9.]{1,16})(?=/|$)")
_PARAM = re.compile(r"\{(\w+)(\.\.\.)?\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """A handler, and what the connection must know of it before it runs.

    `streams`: the handler is cancelled when the client disconnects. All others run to their end, so that no container
    is left half stopped or half created. `endless`: only the client ends it, so a stopping server does not wait for it.
    `hijacks`: bytes after the request are not the next request. `passive`: it uses nothing, so an engine that serves
    no other request is idle.
    """

    handler: Handler
    streams: bool = False
    endless: bool = False
    hijacks: bool = False
    before_open: bool = False  # served before the data root is open
    passive: bool = False


def _fixed(response: Response) -> Route:
    async def answer(_: Request) -> Response:
        return response

    return Route(handler=answer, before_open=True)


_NOT_FOUND = _fixed(error_response(404, "page not found", bare=True))
_OPTIONS = _fixed(Response(200))


class Router:
    """The table of routes. Templates: `{name}` is one segment, `{name...}` one or more (image names hold slashes)."""

    def __init__(self) -> None:
        self.templates: list[tuple[str, str]] = []  # (method, template), as added
        self._exact: dict[tuple[str, str], Route] = {}
        self._patterns: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}

    def add(
        self,
        method: str,
        template: str,
        handler: Handler,
        *,
        streams: bool = False,
        endless: bool = False,
        hijacks: bool = False,
        before_open: bool = False,
        passive: bool = False,
    ) -> None:
        """Serve `method` on `template` by `handler`. Of two templates that match, the first added wins."""
        route = Route(
            handler=handler,
            streams=streams or endless,
            endless=endless,
            hijacks=hijacks,
            before_open=before_open,
            passive=passive,
        )
        self.templates.append((method, template))
        if "{" not in template:
            self._exact[method, template] = route
            return
        pattern, end = "", 0
        for param in _PARAM.finditer(template):
            inner = ".+" if param[2] else "[^/]+"
            pattern += re.escape(template[end : param.start()]) + f"(?P<{param[1]}>{inner})"
            end = param.end()
        pattern += re.escape(template[end:])
        first = template.split("/", 2)[1]
        self._patterns.setdefault((method, first), []).append((re.compile(pattern), route))

    def match(self, request: Request) -> Route:
        """The route of `request`; sets its `path`, `params` and `version`.

        Never fails: an unknown path or an unsupported version gives a route that replies with the error.
        """
        if request.method == "OPTIONS":
            return _OPTIONS
        path = request.path
        if "%" in path:
            path = unquote(path)
        version = NEWEST
        if prefix := _VERSION.match(path):
            version = Version.parse(prefix[1])
            path = path[prefix.end() :]
        request.path = path
        route = self._find(request, path)
        if route is None:
            return _NOT_FOUND
        if version != NEWEST:
            if version > NEWEST:
                message = f"client version {version} is too new. Maximum supported API version is {NEWEST}"
                return _fixed(error_response(400, message))
            if version < OLDEST:
                message = (
                    f"client version {version} is too old. Minimum supported API version is {OLDEST}, "
                    "please upgrade your client to a newer version"
                )  # clients older than 1.24 don't read JSON errors
                return _fixed(Response(400, message.encode() + b"\n", content_type="text/plain; charset=utf-8"))
            request.version = version
        return route

    def _find(self, request: Request, path: str) -> Route | None:
        if exact := self._exact.get((request.method, path)):
            return exact
        first = path.split("/", 2)[1] if path.startswith("/") else ""
        for pattern, route in self._patterns.get((request.method, first), ()):
            if match := pattern.fullmatch(path):
                request.params = match.groupdict()
                return route
        return None
