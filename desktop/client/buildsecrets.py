"""Secrets that a build on the classic wire gets from the client, by a header that Cove's engine alone knows."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from desktop.client.engine import EngineClient
from desktop.client.logins import encoded

LIMIT_BYTES = 24 << 10  # together; a request's head is bounded


class SecretsUnusable(Exception):
    """Why the engine cannot have the secrets, for the user."""


def headers(client: EngineClient, secrets: Mapping[str, bytes]) -> dict[str, str]:
    """The header of `POST /build` with the secrets by id; none without secrets.

    Raises SecretsUnusable, ApiError, ConnectionFailed.
    """
    if not secrets:
        return {}
    if sum(map(len, secrets.values())) > LIMIT_BYTES:
        raise SecretsUnusable(f"the secrets of a build are over {LIMIT_BYTES >> 10} kB together")
    if not client.is_cove():
        raise SecretsUnusable("only Cove's engine takes secrets from here; `docker build --secret` works on others")
    return {"X-Cove-Build-Secrets": encoded({key: base64.b64encode(value).decode() for key, value in secrets.items()})}
