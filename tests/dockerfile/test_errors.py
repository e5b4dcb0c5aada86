"""Faults: BuildKit's words, and the lines they are about."""

from __future__ import annotations

import pytest

from tests.dockerfile.kit import last, walk
from vmagent.dockerfile.errors import DockerfileError, Lines
from vmagent.dockerfile.expand import global_scope
from vmagent.dockerfile.parser import parse, parse_trigger
from vmagent.dockerfile.ports import exposed_ports
from vmagent.dockerfile.stages import bases, check_references, find_stage, needed_stages, sources, target_stage
from vmagent.dockerfile.tree import Mount, Run


@pytest.mark.parametrize(
    ("text", "message", "lines"),
    [
        ("", "the Dockerfile cannot be empty", None),
        ("\n# x\n", "file with no instructions", Lines(2, 2)),
        ("ARG a\n", "dockerfile contains no stages to build", None),
        ("RUN a\nFROM b\n", "no build stage in current context", Lines(1, 1)),
        ("FROM a\nRUN <<E\nx\n", "unterminated heredoc", Lines(2, 3)),
        ("FROM a\nRUN <<E <<F\nE\nF x\n", "unterminated heredoc", Lines(2, 4)),
        ("FROM a\nENV b\n", "ENV must have two arguments", Lines(2, 2)),
        ("FROM a\nLABEL b\\\n\n", "LABEL must have two arguments", Lines(2, 3)),
        (
            "FROM a\nENV b=1 c\n",
            'Syntax error - can\'t find = in "c". Must be of the form: name=value',
            Lines(2, 2),
        ),
        (
            'FROM a\nCMD ["a", 1]',
            "when using JSON array syntax, arrays must be comprised of strings only",
            Lines(2, 2),
        ),
    ],
)
def test_a_fault_of_the_file(text: str, message: str, lines: Lines | None) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    assert (str(caught.value), caught.value.lines, caught.value.status) == (message, lines, 400)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("RUNN b", "unknown instruction: RUNN (did you mean RUN?)"),
        ("coppy b", "unknown instruction: coppy (did you mean copy?)"),
        ("Evn b", "unknown instruction: Evn (did you mean env?)"),
        ("SOMETHING b", "unknown instruction: SOMETHING"),
        ("COPY --fron=b c d", "unknown flag: --fron (did you mean from?)"),
        ("COPY --from c d", "missing a value on flag: --from"),
        ("COPY --link=x c d", "expecting boolean value for flag --link, not: x"),
        ("COPY --link= c d", "missing a value on flag: --link"),
        ("COPY --from=a --from=b c d", "duplicate flag specified: --from"),
        ("COPY --checksum=a c d", "unknown flag: --checksum"),
        ("USER --x y", "unknown flag: --x"),
        (
            "COPY a",
            "COPY requires at least two arguments, but only one was provided. Destination could not be determined",
        ),
        ("ADD", "ADD requires at least two arguments, but only one was provided. Destination could not be determined"),
        ("COPY a <<E\nE", "COPY cannot accept a heredoc as a destination"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV =a", "ENV names can not be blank"),
        ("ARG =a", "ARG names can not be blank"),
        ("ARG", "ARG requires at least one argument"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("STOPSIGNAL", "STOPSIGNAL requires exactly one argument"),
        ("MAINTAINER", "MAINTAINER requires exactly one argument"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ('VOLUME [""]', "VOLUME specified can not be an empty string"),
        ("SHELL []", "SHELL requires at least one argument"),
        ("SHELL a -c", "SHELL requires the arguments to be in JSON form"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN a", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("onbuild " * 8000 + "RUN a", "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed"),
        ("ONBUILD from a", "FROM isn't allowed as an ONBUILD trigger"),
        ("ONBUILD MAINTAINER a", "MAINTAINER isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK NONE a", "HEALTHCHECK NONE takes no arguments"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK x", 'Unknown type "X" in HEALTHCHECK (try CMD)'),
        ("HEALTHCHECK --interval=1us CMD a", 'Interval "interval" cannot be less than 1ms'),
        ("HEALTHCHECK --interval=5 CMD a", 'time: missing unit in duration "5"'),
        ("HEALTHCHECK --interval=x CMD a", 'time: invalid duration "x"'),
        ("HEALTHCHECK --interval=5d CMD a", 'time: unknown unit "d" in duration "5d"'),
        ("HEALTHCHECK --retries=-1 CMD a", "--retries cannot be negative (-1)"),
        ("HEALTHCHECK --retries=x CMD a", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("HEALTHCHECK --retries=9999999999 CMD a", 'strconv.ParseInt: parsing "9999999999": value out of range'),
        ("RUN --network=x a", 'invalid network mode "x"'),
        ("RUN --security=x a", 'security "x" is not valid'),
        (
            "RUN --mount=from=$x,target=/a b",
            "'from' doesn't support variable expansion, define alias stage instead",
        ),
        (
            'RUN --mount=\\"a b',
            'failed to parse csv mounts: parse error on line 1, column 2: extraneous or missing " in quoted-field',
        ),
        ("RUN --mount= b", "failed to parse csv mounts: EOF"),
        ("RUN --device=a,b c", "invalid field 'b' must be a key=value pair"),
        ("RUN --device=a,nam=b c", "unexpected key 'nam' in 'nam=b' (did you mean name?)"),
        ("RUN --device=a,required=x c", "invalid value for required: x"),
        ("FROM", "FROM requires either one or three arguments"),
        ("FROM a b", "FROM requires either one or three arguments"),
        ("FROM a with b", "FROM requires either one or three arguments"),
        (
            "FROM a AS 1b",
            'invalid name for build stage: "1b", name can\'t start with a number or contain symbols',
        ),
        ("FROM --plattform=a b", "unknown flag: --plattform (did you mean platform?)"),
    ],
)
def test_a_fault_of_an_instruction(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(f"FROM a\n\n{text}")
    assert str(caught.value) == f"dockerfile parse error on line 3: {message}"
    assert caught.value.lines == Lines(3, 3 + text.count("\n"))


@pytest.mark.parametrize(
    ("mount", "expected"),
    [
        ("target=/a", Mount("bind", target="/a", readonly=True)),
        ("type=bind,from=b,source=c,dst=$d,rw", Mount("bind", "c", "/d", "b")),
        ("type=bind,target=/a,readonly=false", Mount("bind", target="/a")),
        (
            "type=cache,id=i,destination=/d,ro,sharing=locked",
            Mount("cache", target="/d", id="i", readonly=True, sharing="locked"),
        ),
        ("type=cache,target=/d,mode=0755,uid=1,gid=2", Mount("cache", target="/d", mode=0o755, uid=1, gid=2)),
        ("TYPE=tmpfs,target=/t,size=1.5m", Mount("tmpfs", target="/t", size_bytes=1_572_864)),
        (
            "type=secret,id=s,target=/t,required,mode=0400",
            Mount("secret", target="/t", id="s", readonly=True, required=True, mode=0o400),
        ),
        ("type=secret,id=s,env=S", Mount("secret", id="s", readonly=True, env="S")),
        ("type=secret,src=s", Mount("secret", "s", readonly=True)),
        ("type=ssh,id=k,required=true", Mount("ssh", id="k", readonly=True, required=True)),
    ],
)
def test_a_mounts_options(mount: str, expected: Mount) -> None:
    assert last(Run, f"RUN --mount={mount} x", env={"d": "/d"}).mounts == (expected,)


@pytest.mark.parametrize(
    ("mount", "message"),
    [
        ("type=chache,target=/a", 'unsupported mount type "chache" (did you mean cache?)'),
        ("type=cache,sharing=lock,target=/a", 'unsupported sharing value "lock" (did you mean locked?)'),
        ("sharing=shared,target=/a", "invalid cache sharing set for bind mount"),
        ("targt=/a", "unexpected key 'targt' in 'targt=/a' (did you mean target?)"),
        ("something", "invalid field 'something' must be a key=value pair"),
        ("required,target=/a", "unexpected key 'required' for mount type 'bind'"),
        ("size=1m,target=/a", "unexpected key 'size' for mount type 'bind'"),
        ("type=tmpfs,size=x,target=/a", "invalid value for size: x"),
        ("ro=x,target=/a", "invalid value for ro: x"),
        ("type=cache,mode=9,target=/a", "invalid value 9 for mode"),
        ("type=cache,uid=-1,target=/a", "invalid value -1 for uid"),
        ("mode=1,target=/a", 'mode not allowed for "bind" type mounts'),
        ("type=tmpfs,gid=1,target=/a", 'gid not allowed for "tmpfs" type mounts'),
        ("type=secret", "invalid secret mount. one of source, target required"),
        ("type=secret,id=a,from=b", "secret mount should not have a from"),
        ("type=secret,id=a,sharing=shared", "secret mount should not define sharing"),
        ("type=secret,id=a,src=b", "both source and id can't be set"),
    ],
)
def test_a_fault_of_a_mount(mount: str, message: str) -> None:
    """It is found when the instruction is expanded: every option may hold variables."""
    with pytest.raises(DockerfileError) as caught:
        last(Run, f"RUN --mount={mount} x")
    assert (str(caught.value), caught.value.lines) == (message, Lines(2, 2))


@pytest.mark.parametrize(
    ("words", "ports"),
    [
        (("80", "81/udp", "82/SCTP"), ("80/tcp", "81/udp", "82/sctp")),
        (("1-3/udp",), ("1/udp", "2/udp", "3/udp")),
        (("127.0.0.1:80:8080", "[::1]:1:2/udp", "5:6"), ("8080/tcp", "2/udp", "6/tcp")),
        (("1-2:3", "0", "65535"), ("3/tcp", "0/tcp", "65535/tcp")),
        (("2", "1-3", "2-2/udp", "3-4/tcp"), ("2/tcp", "1/tcp", "3/tcp", "2/udp", "4/tcp")),
    ],
)
def test_the_ports_of_expose(words: tuple[str, ...], ports: tuple[str, ...]) -> None:
    assert exposed_ports(words) == ports


def test_many_ranges_make_no_more_ports_than_there_are() -> None:
    assert exposed_ports(["0-65535"] * 8000) == tuple(f"{port}/tcp" for port in range(1 << 16))


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("/tcp", 'invalid port: "/tcp": no port specified'),
        ("80/x", 'invalid port: "80/x": invalid proto: x'),
        ("65536", "invalid containerPort: 65536"),
        ("2-1", "invalid containerPort: 2-1"),
        ("a", "invalid containerPort: a"),
        ("a:1", "invalid hostPort: a"),
        ("x:1:1", "invalid IP address: x"),
        ("1-3:1-2", "invalid ranges specified for container and host Ports: 1-2 and 1-3"),
    ],
)
def test_a_fault_of_a_port(word: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        exposed_ports((word,))
    assert str(caught.value) == message


# Stages


def test_stages_name_each_other() -> None:
    tree = parse(
        "ARG B=a\nFROM x AS a\nFROM $B AS b\nCOPY --from=0 y z\n"
        "FROM A\nRUN --mount=from=B,target=/ c\nCOPY --from=img y z"
    )
    found = bases(tree, global_scope(tree))
    assert [(one.name, one.stage) for one in found] == [("x", None), ("a", 0), ("A", None)]
    named = [list(sources(tree, one)) for stage in tree.stages for one in stage.instructions]
    assert named == [[("0", 0)], [("B", 1)], [("img", None)]]
    assert (find_stage(tree, "B"), find_stage(tree, "c")) == (1, None)
    assert (target_stage(tree, ""), target_stage(tree, "A")) == (2, 0)
    check_references(tree)


@pytest.mark.parametrize(
    ("text", "message", "line"),
    [
        (
            "FROM x AS a\nCOPY --from=b y z\nFROM x AS b\nCOPY --from=a y z",
            "circular dependency detected on stage: a",
            4,
        ),
        ("FROM x AS a\nCOPY --from=a y z", "circular dependency detected on stage: a", 2),
        (
            "FROM x\nRUN --mount=from=b y\nFROM x AS b\nCOPY --from=0 y z",
            "circular dependency detected on stage: stage-0",
            4,
        ),
        (
            "FROM x AS a\nCOPY --from=b y z\nFROM x AS b",
            'cannot copy from stage "b", it needs to be defined before current stage "a"',
            2,
        ),
        (
            "FROM x AS a\nRUN --mount=from=b y\nFROM x AS b",
            'cannot mount from stage "b", stage needs to be defined before current command',
            2,
        ),
        ("FROM x\nCOPY --from=7 y z", "invalid stage index 7", 2),
        ("FROM x\nCOPY --from=-1 y z", "invalid stage index -1", 2),
    ],
)
def test_a_fault_between_stages(text: str, message: str, line: int) -> None:
    with pytest.raises(DockerfileError) as caught:
        check_references(parse(text))
    assert (str(caught.value), caught.value.lines) == (message, Lines(line, line))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FROM $x", "base name ($x) should not be blank"),
        (
            "FROM --platform=$BUILDPLATFORN x",
            "empty platform value from expression $BUILDPLATFORN (did you mean BUILDPLATFORM?)",
        ),
        ("FROM ${x", "failed to process \"${x\": syntax error: missing '}'"),
    ],
)
def test_a_fault_of_a_base(text: str, message: str) -> None:
    tree = parse(text)
    with pytest.raises(DockerfileError) as caught:
        bases(tree, global_scope(tree, {}, {"BUILDPLATFORM": "linux/amd64"}))
    assert (str(caught.value), caught.value.lines) == (message, Lines(1, 1))


def test_a_target_that_is_missing() -> None:
    with pytest.raises(DockerfileError) as caught:
        target_stage(parse("FROM x AS build"), "bild")
    assert str(caught.value) == 'target stage "bild" could not be found (did you mean build?)'


def test_a_later_stage_matters_only_where_it_is_built() -> None:
    tree = parse("FROM x AS a\nCOPY --from=c y z\nFROM a AS b\nFROM x AS c\nRUN --mount=from=d,target=/ y\nFROM x AS d")
    found = bases(tree, global_scope(tree))
    assert needed_stages(tree, found, 3) == {3}
    assert needed_stages(tree, found, 1) == {0, 1, 2, 3}
    check_references(tree, needed_stages(tree, found, 3))
    with pytest.raises(DockerfileError, match="cannot copy from stage"):
        check_references(tree, needed_stages(tree, found, 1))


def test_a_named_context_stands_before_a_stage_of_its_name() -> None:
    tree = parse("FROM x AS a\nFROM a AS b\nCOPY --from=c y z\nRUN --mount=from=c,target=/ y\nFROM x AS c")
    contexts = {"a", "c"}
    found = bases(tree, global_scope(tree), contexts)
    assert [base.stage for base in found] == [None, None, None]
    assert needed_stages(tree, found, 1, contexts) == {1}
    check_references(tree, None, contexts)


def test_a_thousand_stages_in_a_row_are_no_circle() -> None:
    stages = ["FROM x AS s0", *(f"FROM x AS s{number}\nCOPY --from=s{number - 1} a b" for number in range(1, 1000))]
    check_references(parse("\n".join(stages)))


def test_a_trigger_is_one_instruction_at_the_froms_lines() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_trigger("RUN a\nRUN b", Lines(5, 5))
    assert (str(caught.value), caught.value.lines) == ("onbuild trigger should be a single expression", Lines(5, 5))
    with pytest.raises(DockerfileError) as caught:
        parse_trigger("RUNN a", Lines(5, 5))
    assert str(caught.value) == "dockerfile parse error on line 5: unknown instruction: RUNN (did you mean RUN?)"
    assert caught.value.lines == Lines(5, 5)


def test_a_volume_whose_variable_is_empty() -> None:
    with pytest.raises(DockerfileError, match="VOLUME specified can not be an empty string"):
        walk("FROM x\nVOLUME $nothing")
