"""Nothing in the repository refers to a document outside it: a reader of a clone can look up all that it names."""

from __future__ import annotations

import re
from pathlib import Path

from tests.project.tree import ROOT, tracked

# Each alternative with what it has caught: notes, designs and trackers of the workplace the code was written in.
_OUTSIDE = re.compile(
    r"/work/|\.\./shared|\.library\b"
    r"|\b(?:api|style|design|engine-facts|images-facts|vm-facts)\.md\b"
    r"|\b(?:engine|images|vm)-facts\b"
    r"|\b(?:the|this) (?:design|brief)'s\b"
    r"|\bissues? #?\d+\b"
    r"|§",
    re.IGNORECASE,
)
_BINARY = {".png", ".lock"}


def test_no_file_refers_to_a_document_outside_the_repository() -> None:
    own = Path(__file__).relative_to(ROOT)
    found = [
        f"{path}:{number}: {match[0]}"
        for path in tracked()
        if path != own and path.suffix not in _BINARY
        for number, line in enumerate((ROOT / path).read_text(errors="replace").splitlines(), 1)
        for match in _OUTSIDE.finditer(line)
    ]
    assert not found, "\n".join(found)
