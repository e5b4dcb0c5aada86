"""Failures inside a pull worker, by kind: the engine turns each into docker's status and keeps the words."""

from __future__ import annotations

from vmagent.errors import BadRequest, EngineError, Forbidden, NotFound, NotImplementedHere, Unauthorized

WORKER = "vmagent.images.worker"  # the module of the operations in helper processes


class ImageFault(Exception):
    """What went wrong with an image, its layer or its registry; `kind` is a key of STATUS."""

    def __init__(self, message: str, kind: str = "failed") -> None:
        super().__init__(message)
        self.kind = kind


STATUS: dict[str, type[EngineError]] = {
    "failed": EngineError,
    "invalid": BadRequest,
    "not-found": NotFound,
    "unauthorized": Unauthorized,
    "forbidden": Forbidden,
    "not-implemented": NotImplementedHere,
}


def engine_error(message: str, kind: str) -> EngineError:
    """The exception with docker's status for a worker's failure."""
    return STATUS.get(kind, EngineError)(message)
