"""`cove tag`: another name for an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from desktop.cli.app import Failure
from desktop.cli.flags import Spec, parse
from desktop.client import reference

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="tag",
    usage="SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    summary="Give an image another name",
    least=2,
    most=2,
)


def main(argv: Sequence[str], app: App) -> int:
    source, target = parse(SPEC, argv).args
    try:
        wanted = reference.parse(target)
        if wanted.digest:
            raise reference.InvalidReference("refusing to create a tag with a digest reference")
    except reference.InvalidReference as e:
        raise Failure(f'Error parsing reference: "{target}" is not a valid repository/tag: {e}') from e
    app.client().tag(source, wanted.repository, wanted.version)
    return 0
