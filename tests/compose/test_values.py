"""Values that compose files write as text, and the scalars of YAML."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from desktop.compose import values
from desktop.compose.interpolate import BadTemplate, substitute
from desktop.compose.yamltree import resolve_plain


@given(st.integers(-(2**62), 2**62))
def test_a_duration_is_read_back(ns: int) -> None:
    assert abs(values.parse_duration(values.duration_text(ns)) - ns) <= abs(ns) * 1e-9


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("90s", "1m30s"),
        ("1.5h", "1h30m0s"),
        ("0", "0s"),
        ("500ms", "500ms"),
        ("1us", "1µs"),
        ("3ns", "3ns"),
        ("-2m", "-2m0s"),
    ],
)
def test_durations_are_written_as_go_does(text: str, written: str) -> None:
    assert values.duration_text(values.parse_duration(text)) == written


@pytest.mark.parametrize(
    ("text", "size"), [("1", 1), ("1b", 1), ("1k", 1024), ("1.5gb", 1610612736), ("2MiB", 2097152), ("-1", -1)]
)
def test_sizes(text: str, size: int) -> None:
    assert values.parse_size(text) == size


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"), ("22:22", "22:22"), ("0777", 511), ("0o17", 15), ("0x1f", 31), ("-5", -5), ("1_000", 1000),
        ("08", 8.0), ("1e3", 1000.0), (".5", 0.5), ("1.", 1.0), ("~", None), ("True", True), ("-", "-"),
        ("2024-01-02", "2024-01-02"),
    ],
)  # fmt: skip
def test_scalars_have_the_types_of_yaml_1_2(text: str, value: object) -> None:
    found = resolve_plain(text)
    assert found == value
    assert type(found) is type(value)


def test_variables_without_value_and_default_are_reported() -> None:
    unset: list[str] = []
    assert substitute("$A${B}${C:-}${D+x}", lambda _: None, unset.append) == ""
    assert unset == ["A", "B"]


@pytest.mark.parametrize("text", ["$", "${}", "${1}", "${A!b}", "a ${B", "$-"])
def test_bad_templates(text: str) -> None:
    with pytest.raises(BadTemplate):
        substitute(text, lambda _: None, lambda _: None)


@given(st.text(alphabet="${}ab:-+?", max_size=12))
def test_any_text_gives_a_string_or_a_bad_template(text: str) -> None:
    with contextlib.suppress(BadTemplate):
        assert isinstance(substitute(text, lambda name: {"a": "1", "b": ""}.get(name), lambda _: None), str)
