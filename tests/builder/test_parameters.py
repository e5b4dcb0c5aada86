"""The query parameters of the builder's endpoints."""

from __future__ import annotations

import json
from urllib.parse import urlencode

import pytest

from vmagent.api.messages import Query
from vmagent.api.routes.build import build_request, prune_filters
from vmagent.builder.cache import CACHE_MOUNT, REGULAR, CacheRecord
from vmagent.errors import BadRequest


def _record(kind: str, description: str) -> CacheRecord:
    return CacheRecord(
        key=kind, kind=kind, layer="", size=1, description=description, created_ns=1, used_ns=1
    )  # fmt: skip


def _taken(**filters: list[str]) -> list[str]:
    """The kinds of the records that a prune with these filters takes."""
    found = prune_filters(Query(urlencode({"filters": json.dumps(filters)})))
    records = [_record(REGULAR, "RUN make"), _record(CACHE_MOUNT, "cached mount")]
    return [one.kind for one in records if found.takes(one, in_use=False)]


def test_every_filter_of_a_prune_limits_it() -> None:
    assert _taken() == [REGULAR, CACHE_MOUNT]
    assert _taken(description=["RUN make"]) == [REGULAR]
    assert _taken(type=[CACHE_MOUNT]) == [CACHE_MOUNT]
    assert _taken(id=["reg"]) == [REGULAR]
    assert _taken(parent=["abc"]) == _taken(shared=["true"]) == _taken(shared=[]) == _taken(private=["0"]) == []
    assert _taken(inuse=["1"]) == []
    assert _taken(inuse=["false"], private=[], shared=["0"]) == [REGULAR, CACHE_MOUNT]
    with pytest.raises(BadRequest, match="only one value"):
        _taken(until=["1h"], **{"unused-for": ["2h"]})


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("buildargs", '{"A": 1}'),
        ("buildargs", '{"SOURCE_DATE_EPOCH": "\u00b2"}'),
        ("buildargs", '{"SOURCE_DATE_EPOCH": "999999999999"}'),
        ("labels", '{"a": ["b"]}'),
        ("extrahosts", "[x"),
        ("extrahosts", "[1]"),
        ("ulimits", "[1]"),
        ("ulimits", '[{"Name": "nofile", "Soft": "x"}]'),
        ("securityopt", "seccomp=unconfined"),
    ],
)
def test_a_parameter_that_can_t_be_used_is_refused(key: str, value: str) -> None:
    with pytest.raises(BadRequest):
        build_request(Query(urlencode({key: value})))
