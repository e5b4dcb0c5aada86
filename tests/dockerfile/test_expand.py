"""Variables: forms, quoting, which instructions replace them, scopes."""

from __future__ import annotations

import pytest

from tests.dockerfile.kit import last, walk
from vmagent.dockerfile.errors import DockerfileError, Lines
from vmagent.dockerfile.expand import Scope, global_scope, history_arguments, proxy_environment, step
from vmagent.dockerfile.lexer import Lexer
from vmagent.dockerfile.parser import parse
from vmagent.dockerfile.stages import bases
from vmagent.dockerfile.tree import Add, Arg, Cmd, Copy, Env, Expose, Label, Run, StopSignal, User, Volume, Workdir

SET = {
    "a": "foobarbaz",
    "empty": "",
    "p": "/usr/lib/x.tar.gz",
    "lines": "one\ntwo",
    "star": "a*b",
    "big": "ab" * 20_000,
}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$a", "foobarbaz"),
        ("${a}", "foobarbaz"),
        ("${a}_x", "foobarbaz_x"),
        ("$a_x", ""),
        ("x$", "x$"),
        ("$.", "$."),
        ("$1a", "a"),
        ("${unset}", ""),
        ("${unset:-w}", "w"),
        ("${unset-w}", "w"),
        ("${empty:-w}", "w"),
        ("${empty-w}", ""),
        ("${a:-w}", "foobarbaz"),
        ("${unset:-$a}", "foobarbaz"),
        ("${unset:-${b:-c}}", "c"),
        ("${unset:-'a b'}", "a b"),
        ("${a:+w}", "w"),
        ("${empty:+w}", ""),
        ("${empty+w}", "w"),
        ("${unset+w}", ""),
        ("${a:?no}", "foobarbaz"),
        ("${empty?no}", ""),
        ("${a#f*b}", "arbaz"),
        ("${a##f*b}", "az"),
        ("${a#x}", "foobarbaz"),
        ("${a%b*}", "foobar"),
        ("${a%%b*}", "foo"),
        ("${p%.*}", "/usr/lib/x.tar"),
        ("${p%%.*}", "/usr/lib/x"),
        ("${p##*/}", "x.tar.gz"),
        ("${a#???}", "barbaz"),
        ("${star#a\\*}", "b"),
        ("${star%\\*b}", "a"),
        ("${lines#*}", "one\ntwo"),
        ("${lines##*}", "\ntwo"),
        ("${a/ba/fo}", "fooforbaz"),
        ("${a//ba/fo}", "fooforfoz"),
        ("${a/b?}", None),
        ("${a/o*r/-}", "f-baz"),
        ("${a//[/x}", "foobarbaz"),
        ("${p//\\//-}", "-usr-lib-x.tar.gz"),
        ("${a//b/$empty}", "fooaraz"),
        ("${unset/a/b}", ""),
        ("'$a'", "$a"),
        ('"$a b"', "foobarbaz b"),
        ("\\$a", "$a"),
        ("\\${a}", "${a}"),
        ('"\\$a"', "$a"),
        ('"\\n"', "\\n"),
        ('"\\"\\\\"', '"\\'),
        ("a\\ b", "a b"),
        ("x\\", "x"),
        ("", ""),
    ],
)
def test_a_words_variables_and_quotes_are_replaced(text: str, result: str | None) -> None:
    if result is None:
        with pytest.raises(DockerfileError, match="missing '/'"):
            Lexer().expand(text, SET)
    else:
        assert Lexer().expand(text, SET).text == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${unset?}", "unset: is not allowed to be unset"),
        ("${unset:?}", "unset: is not allowed to be unset"),
        ("${empty:?}", "empty: is not allowed to be empty"),
        ("${unset?give it}", "unset: give it"),
        ("${", "syntax error: missing '}'"),
        ("${a", "syntax error: missing '}'"),
        ("${a:-x", "syntax error: missing '}'"),
        ("${}", "syntax error: bad substitution"),
        ("${:a}", "syntax error: bad substitution"),
        ("${a:x}", "unsupported modifier (:x) in substitution"),
        ("${a:#x}", "unsupported modifier (:#) in substitution"),
        ("${a@x}", "unsupported modifier (@) in substitution"),
        ("${a#\\x}", "invalid pattern (\\x) in substitution: invalid escape '\\x'"),
        ("'a", "unexpected end of statement while looking for matching single-quote"),
        ('"a', "unexpected end of statement while looking for matching double-quote"),
        ("${a:-" * 100, "syntax error: substitutions are nested too deeply"),
    ],
)
def test_a_wrong_substitution_is_named(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        Lexer().expand(text, SET)
    assert str(caught.value).endswith(": " + message)
    assert str(caught.value).startswith("failed to process ")


def test_a_pattern_of_many_stars_takes_no_exponential_time() -> None:
    """A translation to one regular expression with `.*` for each star would not come back."""
    text = "${big//" + "a*b*" * 10 + "c/x}${big##" + "*a" * 20 + "c}${big%%" + "c*" * 20 + "}"
    assert Lexer().expand(text, SET).text == SET["big"] * 3


def test_the_escape_character_is_the_files() -> None:
    assert Lexer("`").expand("`$a \\$a", SET).text == "$a \\foobarbaz"


def test_words_are_split_after_replacement_but_not_inside_quotes() -> None:
    env = {"w": "x  y"}
    assert Lexer().expand('$w \'$w\' "$w" a\\ b ""', env).words == ("x", "y", "$w", "x  y", "a b")


@pytest.mark.parametrize(
    ("text", "kind", "field", "value"),
    [
        ("ADD --chown=$u --chmod=$m --checksum=$s $f $d", Add, "destination", "/d"),
        ("ADD --chown=$u --chmod=$m --checksum=$s $f $d", Add, "checksum", "sha256:1"),
        ("COPY --chown=$u --chmod=$m $f $d", Copy, "sources", ("f",)),
        ("COPY --chown=$u --chmod=$m $f $d", Copy, "chown", "u"),
        ("COPY --chown=$u --chmod=$m $f $d", Copy, "chmod", "7"),
        ("COPY \\$f $d", Copy, "sources", ("$f",)),
        ("EXPOSE $p $q/udp", Expose, "ports", ("1", "2", "3/udp")),
        ("STOPSIGNAL $m", StopSignal, "signal", "7"),
        ("USER $u:$m", User, "user", "u:7"),
        ("VOLUME $d /e", Volume, "paths", ("/d", "/e")),
        ("WORKDIR $d/x", Workdir, "path", "/d/x"),
    ],
)
def test_the_instructions_that_replace_variables(text: str, kind: type, field: str, value: object) -> None:
    env = {"u": "u", "m": "7", "s": "sha256:1", "f": "f", "d": "/d", "p": "1 2", "q": "3"}
    assert getattr(last(kind, text, env=env), field) == value


def test_env_and_label_replace_in_key_and_value() -> None:
    env = last(Env, "ENV $k=\"$v\" b='$v' c=a\\ b", env={"k": "K", "v": "x y"})
    label = last(Label, 'LABEL "a b"=$v', env={"v": "1"})
    assert [(pair.key, pair.value) for pair in env.pairs] == [("K", "x y"), ("b", "$v"), ("c", "a b")]
    assert [(pair.key, pair.value) for pair in label.pairs] == [("a b", "1")]


@pytest.mark.parametrize("name", ["NOPE", "$unset", "0", "99", "RTMIN+x"])
def test_a_signal_that_is_not_known(name: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        last(StopSignal, f"STOPSIGNAL {name}")
    assert (str(caught.value), caught.value.lines) == (f"invalid signal: {name.removeprefix('$unset')}", Lines(2, 2))


def test_commands_are_left_to_the_shell() -> None:
    assert last(Run, "RUN echo $a '$b'", env={"a": "1"}).command.words == ("echo $a '$b'",)
    assert last(Cmd, 'CMD ["$a"]', env={"a": "1"}).command.words == ("$a",)


def test_all_of_an_instruction_sees_the_environment_before_it() -> None:
    steps = walk("FROM scratch\nENV abc=hello\nENV abc=bye def=$abc\nENV ghi=$abc")
    assert dict(steps[-1].scope.env) == {"abc": "bye", "def": "hello", "ghi": "bye"}


def test_a_heredocs_body_is_replaced_unless_its_name_is_quoted() -> None:
    text = 'COPY <<-A <<"B" /d/\n\techo "$v" \\$v\nA\n\t$v\nB\n'
    assert [one.text for one in last(Copy, text, env={"v": "1"}).contents] == ['echo "1" $v\n', "\t$v\n"]


def test_an_argument_counts_from_its_line_on() -> None:
    text = "FROM busybox\nUSER ${username:-some_user}\nARG username\nUSER $username"
    users = [one.instruction for one in walk(text, {"username": "what_user"})]
    assert [one.user for one in users if isinstance(one, User)] == ["some_user", "what_user"]


def test_an_arguments_default_gives_way_to_a_build_argument() -> None:
    text = "ARG a=1 b=$a c"
    assert [one.value for one in last(Arg, text).arguments] == ["1", "1", None]
    assert [one.value for one in last(Arg, text, {"a": "2", "c": "3"}).arguments] == ["2", "2", "3"]


def test_env_overrides_an_argument_of_the_same_name() -> None:
    text = "FROM ubuntu\nARG V\nENV V=v1.0.0\nWORKDIR $V"
    assert walk(text, {"V": "v2"})[-1].instruction.path == "v1.0.0"  # type: ignore[attr-defined]
    text = "FROM ubuntu\nARG V\nENV V=${V:-v1.0.0}\nWORKDIR $V"
    assert walk(text, {"V": "v2"})[-1].instruction.path == "v2"  # type: ignore[attr-defined]
    assert walk(text)[-1].instruction.path == "v1.0.0"  # type: ignore[attr-defined]


def test_a_global_argument_is_for_from_and_for_a_declaration_without_default() -> None:
    tree = parse("ARG V=1\nARG W=${V}x\nFROM base:$W\nWORKDIR /$V\nARG V\nWORKDIR /$V\nARG V=3\nWORKDIR /$V")
    build = global_scope(tree, {}, {})
    assert [base.name for base in bases(tree, build)] == ["base:1x"]
    paths = [one.instruction.path for one in walk(tree) if isinstance(one.instruction, Workdir)]
    assert paths == ["/", "/1", "/3"]
    assert [base.name for base in bases(tree, global_scope(tree, {"V": "9"}, {}))] == ["base:9x"]


def test_a_stage_on_another_one_goes_on_with_its_arguments() -> None:
    """The builder hands the base's scope on; unrelated stages begin with none."""
    tree = parse("FROM scratch AS a\nARG v=1\nFROM a\nWORKDIR /$v")
    build = global_scope(tree)
    first = step(tree.stages[0].instructions[0], Scope(), build)
    second = step(tree.stages[1].instructions[0], first.scope, build)
    assert isinstance(second.instruction, Workdir)
    assert second.instruction.path == "/1"


def test_platform_arguments_are_global() -> None:
    text = (
        "FROM --platform=$BUILDPLATFORM x\nWORKDIR /$TARGETARCH\nARG TARGETARCH TARGETVARIANT BUILDOS\n"
        "WORKDIR /$TARGETARCH$TARGETVARIANT-$BUILDOS"
    )
    paths = [one.instruction.path for one in walk(text) if isinstance(one.instruction, Workdir)]
    assert paths == ["/", "/arm64v8-linux"]
    paths = [one.instruction.path for one in walk(text, {"TARGETARCH": "x"}) if isinstance(one.instruction, Workdir)]
    assert paths == ["/", "/xv8-linux"]


def test_proxies_are_for_run_alone() -> None:
    given = {"http_proxy": "p", "NO_PROXY": "n", "x": "y"}
    assert proxy_environment(given) == {"HTTP_PROXY": "p", "http_proxy": "p", "NO_PROXY": "n", "no_proxy": "n"}
    steps = walk("FROM x\nRUN a\nARG http_proxy\nRUN b", given)
    assert history_arguments(steps[0].scope) == ()
    assert history_arguments(steps[-1].scope) == ("|1", "http_proxy=p")


def test_the_history_shows_each_argument_once_with_its_present_value() -> None:
    steps = walk("FROM x\nARG a=1\nARG b\nENV a=2\nARG a=3\nRUN c")
    assert history_arguments(steps[-1].scope) == ("|2", "a=3", "b=")


def test_what_nothing_defines_is_reported() -> None:
    steps = walk("FROM x\nARG a\nCOPY $a $b ${c:-1} /d\nRUN --mount=target=$t x $y")
    assert [one.undefined for one in steps] == [(), ("b", "c"), ("t",)]


def test_an_error_has_the_instructions_lines() -> None:
    with pytest.raises(DockerfileError) as caught:
        walk("FROM x\n\nUSER ${a:?no user}")
    assert str(caught.value) == 'failed to process "${a:?no user}": a: no user'
    assert caught.value.lines == Lines(3, 3)
