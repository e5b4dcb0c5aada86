"""`cove system check` as tests ask for it: through the API, with a look at the shape of each line."""

from __future__ import annotations

from typing import Any

from tests.support.description import conforms
from tests.support.engine import NativeEngine

Line = dict[str, Any]


def findings(engine: NativeEngine, *, repair: bool = False) -> list[Line]:
    """What a check finds, but for cgroups of containers that the engine does not have.

    All engines of a machine share the parent cgroup, and an engine that was killed leaves its containers' cgroups: the
    check of another engine rightly finds them, whatever the test does.
    """
    with engine.client() as client, client.check(repair=repair) as stream:
        lines = list(stream)
    for line in lines:
        conforms(line, "POST", "/cove/v1/check", 200)
    found = [line["finding"] for line in lines if line["finding"]]
    states = [one["state"] for one in found]
    result = lines[-1]["result"]
    assert {state: states.count(state) for state in ("found", "repaired", "left")} == {
        state: result[state] for state in ("found", "repaired", "left")
    }
    return [one for one in found if not _is_strangers(engine, one)]


def _is_strangers(engine: NativeEngine, finding: Line) -> bool:
    container = str(finding["subject"]).rpartition("/")[2]
    return finding["part"] == "cgroups" and not (engine.root / "data" / "containers" / container).exists()
