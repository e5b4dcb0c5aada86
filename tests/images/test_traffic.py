"""No credential leaves for another host than it belongs to: all that passes on the network is captured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.images.traffic import MAY_SEE, MIRROR, REGISTRY, STORAGE, STRANGER, TOKENS
from tests.support.tools import ROOT

HANGING_S = 600.0


@pytest.mark.timeout(HANGING_S + 60)
def test_every_credential_is_seen_by_its_own_hosts_alone(tmp_path: Path) -> None:
    out = tmp_path / "found.json"
    done = subprocess.run(
        [sys.executable, "-m", "tests.images.traffic", out],
        cwd=ROOT, capture_output=True, text=True, timeout=HANGING_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    found = json.loads(out.read_text())
    assert found["lost"] == 0, "packets that nobody looked at"
    # Each where it may be seen: it was looked for in the right form.
    assert found["seen"] == {secret: sorted(hosts) for secret, hosts in MAY_SEE.items()}, found["outcomes"]
    # Without the ways to the other hosts there would be nothing to see.
    asked = {host: "\n".join(lines) for host, lines in found["asked"].items()}
    for host, words in (
        (STORAGE, "GET /v2/x/blobs/"), (STORAGE, "GET /v2/x/manifests/2"), (STORAGE, "PUT /v2/y/blobs/uploads/1"),
        (STRANGER, "GET /token?"), (MIRROR, "GET /v2/own/x/manifests/7"), (TOKENS, "POST /token"),
        (REGISTRY, "from=x"), (REGISTRY, "GET /v2/x/manifests/8"), (STRANGER, "GET /v2/x/manifests/8"),
    ):  # fmt: skip
        assert words in asked[host], (host, words, found["outcomes"])
