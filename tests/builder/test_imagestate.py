"""What instructions write into an image's history."""

from __future__ import annotations

import pytest

from vmagent.builder import imagestate
from vmagent.dockerfile.expand import BuildArguments, step
from vmagent.dockerfile.parser import parse
from vmagent.images.platforms import Platform


@pytest.mark.parametrize(
    ("retries", "shown"),
    [
        (3, r"'\x03'"), (7, r"'\a'"), (10, r"'\n'"), (34, "'\"'"), (39, r"'\''"), (48, "'0'"), (127, r"'\x7f'"),
        (0xD800, "'\ufffd'"), (1_114_112, "'\ufffd'"),
    ],
)  # fmt: skip
def test_a_healthchecks_retries_are_shown_as_go_does(retries: int, shown: str) -> None:
    state = imagestate.empty(Platform("linux", "amd64"), None)
    (written,) = parse(f"FROM scratch\nHEALTHCHECK --retries={retries} CMD x").stages[0].instructions
    found = step(written, state.scope, BuildArguments())
    (entry,) = imagestate.apply(state, found.instruction, found.scope).history
    assert entry["created_by"] == f'HEALTHCHECK &{{["CMD-SHELL" "x"] "0s" "0s" "0s" "0s" {shown}}}'
