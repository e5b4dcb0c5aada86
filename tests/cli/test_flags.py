"""Flags are read as docker's command line reads them (Go's pflag)."""

from __future__ import annotations

import pytest

from desktop.cli.flags import (
    Flag,
    HelpWanted,
    Spec,
    UsageError,
    parse,
    parse_bytes,
    parse_cpus,
    parse_duration,
)

SPEC = Spec(
    name="x",
    usage="[OPTIONS] ARG...",
    summary="",
    least=1,
    flags=(
        Flag("interactive", "i"),
        Flag("tty", "t"),
        Flag("env", "e", "list", many=True),
        Flag("memory", "m", "bytes"),
        Flag("network", kind="list", many=True, also=("net",)),
        Flag("sig-proxy", default=True),
    ),
)
STOPPING = SPEC._replace(mixed=False)


def test_short_flags_may_be_joined_and_take_values_three_ways() -> None:
    parsed = parse(SPEC, ["-it", "-eA=1", "-e", "B=2", "-e=C=3", "-ite", "D", "x"])
    assert parsed.on("interactive")
    assert parsed.on("tty")
    assert parsed.many("env") == ["A=1", "B=2", "C=3", "D"]
    assert parsed.args == ["x"]


def test_long_flags_and_booleans_with_values() -> None:
    parsed = parse(
        SPEC, ["--memory", "1g", "--memory=64m", "--tty=false", "-i=0", "--sig-proxy=false", "--net", "n", "x"]
    )
    assert parsed.number("memory") == 64 << 20
    assert not parsed.on("tty")
    assert not parsed.on("interactive")
    assert not parsed.on("sig-proxy")
    assert parsed.given("tty")
    assert parsed.many("network") == ["n"]


def test_flags_and_arguments_mix_unless_the_command_takes_the_rest() -> None:
    assert parse(SPEC, ["a", "-i", "b", "--", "-t"]).args == ["a", "b", "-t"]
    parsed = parse(STOPPING, ["-i", "image", "-t", "--env", "x"])
    assert parsed.args == ["image", "-t", "--env", "x"]
    assert not parsed.on("tty")


@pytest.mark.parametrize(
    ("argv", "words", "status"),
    [
        (["--foo", "x"], "unknown flag: --foo", 125),
        (["-Z", "x"], "unknown shorthand flag: 'Z' in -Z", 125),
        (["-iZ", "x"], "unknown shorthand flag: 'Z' in -iZ", 125),
        (["--memory"], "flag needs an argument: --memory", 125),
        (["-e"], "flag needs an argument: 'e' in -e", 125),
        (["-m", "abc", "x"], 'invalid argument "abc" for "-m, --memory" flag: invalid size: \'abc\'', 125),
        (["-i=no", "x"], 'invalid argument "no" for "-i, --interactive" flag: strconv.ParseBool: parsing "no"', 125),
        ([], "'cove x' requires at least 1 argument", 1),
    ],
)
def test_mistakes_are_worded_as_docker_words_them(argv: list[str], words: str, status: int) -> None:
    with pytest.raises(UsageError) as mistake:
        parse(SPEC, argv)
    assert words in str(mistake.value)
    assert mistake.value.status == status


def test_help_is_asked_for_by_help_and_by_h() -> None:
    for argv in (["--help"], ["-h"], ["x", "--help"]):
        with pytest.raises(HelpWanted):
            parse(SPEC, argv)
    assert parse(STOPPING, ["x", "--help"]).args == ["x", "--help"]


def test_amounts() -> None:
    sizes = [parse_bytes(text) for text in ("512", "1k", "1.5g", "2GiB", "64MB", "-1")]
    assert sizes == [512, 1024, 3 << 29, 2 << 30, 64 << 20, -1]
    assert [parse_cpus(text) for text in ("0.5", "2", "1/4")] == [500_000_000, 2_000_000_000, 250_000_000]
    assert [parse_duration(text) for text in ("0", "1m30s", "500ms", "1.5h")] == [
        0,
        90 * 10**9,
        5 * 10**8,
        5400 * 10**9,
    ]
    for bad in ("", "1", "x", "1s2"):
        with pytest.raises(ValueError, match="invalid duration"):
            parse_duration(bad)
