"""Builds. There is no builder yet: every call that would need one is refused with 501."""

from __future__ import annotations

from vmagent.api.messages import Request, Response, json_response
from vmagent.api.router import Router
from vmagent.engine.engine import Engine
from vmagent.errors import NotImplementedHere


def add(router: Router, _: Engine) -> None:
    """Add the endpoints of builds."""
    router.add("POST", "/build", _no_builder)
    router.add("POST", "/build/cancel", _no_builder)
    router.add("POST", "/session", _no_builder)
    router.add("POST", "/grpc", _no_builder)
    router.add("POST", "/build/prune", _prune)


async def _no_builder(_: Request) -> Response:
    raise NotImplementedHere("this engine cannot build images yet: build elsewhere and `load` or `pull` the result")


async def _prune(_: Request) -> Response:
    return json_response({"CachesDeleted": None, "SpaceReclaimed": 0})  # without builds there is no cache to prune
