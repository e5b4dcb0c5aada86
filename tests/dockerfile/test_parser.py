"""The parser: what a Dockerfile's text becomes."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.dockerfile.kit import instructions, one, walk
from vmagent.dockerfile.errors import DockerfileError, Lines
from vmagent.dockerfile.lint import CheckInput, check
from vmagent.dockerfile.parser import parse, parse_trigger
from vmagent.dockerfile.rules import CheckOptions
from vmagent.dockerfile.stages import check_references, run_script, sources, target_stage
from vmagent.dockerfile.tree import (
    Add,
    Arg,
    Cmd,
    CommandLine,
    Copy,
    Device,
    Entrypoint,
    Env,
    Expose,
    Health,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Pair,
    Run,
    Shell,
    StopSignal,
    User,
    Volume,
    Workdir,
)


def test_a_file_becomes_arguments_and_stages() -> None:
    text = """# syntax=docker/dockerfile:1
# escape=`

# V the version
ARG V=1
# Build compiles
# build compiles
FROM --platform=$BUILDPLATFORM base:$V AS Build
RUN --mount=type=cache,target=/c make `
  # a comment
  all
FROM scratch
COPY --from=build --chown=1:2 /a /b /out/
WORKDIR C:\\
"""
    tree = parse(text)
    assert (tree.source, tree.escape) == (text, "`")
    assert tree.syntax is not None
    assert (tree.syntax.value, tree.syntax.lines) == ("docker/dockerfile:1", Lines(1, 1))
    (arg,) = tree.arguments
    assert [(one.name, one.value, one.comment) for one in arg.arguments] == [("V", "1", "the version")]
    build, final = tree.stages
    assert (build.index, build.name, build.name_as_written, build.as_word) == (0, "build", "Build", "AS")
    assert (build.base, build.platform, build.comment) == ("base:$V", "$BUILDPLATFORM", "compiles")
    assert (build.lines, build.text) == (Lines(8, 8), "FROM --platform=$BUILDPLATFORM base:$V AS Build")
    (run,) = build.instructions
    assert isinstance(run, Run)
    assert run.command == CommandLine(("make   all",), True)
    assert (run.lines, run.text) == (Lines(9, 11), "RUN --mount=type=cache,target=/c make   all")
    assert run.mount_flags == ("type=cache,target=/c",)
    copy, workdir = final.instructions
    assert isinstance(copy, Copy)
    assert isinstance(workdir, Workdir)
    assert (copy.sources, copy.destination, copy.from_, copy.chown) == (("/a", "/b"), "/out/", "build", "1:2")
    assert workdir.path == "C:\\"


# Lines


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("RUN echo \\\n hello", "echo  hello"),
        ("RUN echo \\  \n hello", "echo  hello"),
        ("RUN echo \\\n# comment\nworld", "echo world"),
        ("RUN echo \\\n   # comment \\\nworld", "echo world"),
        ("RUN echo \\\n\n\nworld", "echo world"),
        ("RUN echo a\\\\\n# c", "echo a\\\\"),
        ("RUN echo 'some # of things'", "echo 'some # of things'"),
        ("   RUN echo a", "echo a"),
        ("RUN echo a\r\n", "echo a"),
        ("RUN \\\n  \\\n  echo a", "echo a"),
        ("RUN echo a \\", "echo a"),
        ("run echo a", "echo a"),
        ("RUN\techo\ta", "echo\ta"),
    ],
)
def test_continued_lines_are_joined_and_comments_dropped(text: str, words: str) -> None:
    assert one(Run, text).command == CommandLine((words,), True)


def test_a_byte_order_mark_and_bytes_that_are_not_utf8_are_read() -> None:
    tree = parse(b"\xef\xbb\xbfFROM a\nRUN \xff\xc3\xa9")
    (run,) = tree.stages[0].instructions
    assert isinstance(run, Run)
    assert run.command.words[0].encode("utf-8", "surrogateescape") == b"\xff\xc3\xa9"


def test_an_empty_line_inside_an_instruction_is_reported() -> None:
    (empty,) = parse("FROM a\nRUN b \\\n\n  c\n").empty_continuations
    assert (empty.text, empty.line) == ("RUN b   c", 4)


def test_an_overlong_line_is_an_error() -> None:
    parse("FROM a\nRUN " + "x" * 65000)
    with pytest.raises(DockerfileError, match=r"dockerfile line greater than max allowed size of 65535") as caught:
        parse("FROM a\nRUN " + "x" * 65536)
    assert caught.value.lines == Lines(2, 2)


# Directives


@pytest.mark.parametrize(
    "line",
    ["#escape=`", "# escape =`", "#\tescape= `", "# escape = `", "#\t  eScApE=`  ", "# escape=`\r"],
)
def test_blanks_and_case_of_a_directive_do_not_count(line: str) -> None:
    assert parse(line + "\nFROM a").escape == "`"


@pytest.mark.parametrize(
    "head",
    [
        "FROM a\n# escape=`\n",
        "# About my file\n# escape=`\nFROM a\n",
        "\n# escape=`\nFROM a\n",
        "# unknown=value\n# escape=`\nFROM a\n",
        "# esc \\\nape=`\nFROM a\n",
        "#escape\nFROM a\n",
    ],
)
def test_a_directive_behind_anything_else_is_a_comment(head: str) -> None:
    with contextlib.suppress(DockerfileError):  # `ape=` is no instruction
        assert parse(head).escape == "\\"


def test_a_directive_given_twice_is_an_error() -> None:
    with pytest.raises(DockerfileError, match=r"^only one escape parser directive can be used$") as caught:
        parse("# escape=`\n# ESCAPE=`\nFROM a")
    assert caught.value.lines == Lines(2, 2)


def test_an_escape_character_is_one_of_two() -> None:
    with pytest.raises(DockerfileError) as caught:
        parse("# escape=x\nFROM a")
    assert str(caught.value) == "invalid escape token 'x' does not match ` or \\"


def test_check_and_syntax_are_found() -> None:
    tree = parse("# syntax=a/b:1 more\n# check=skip=all;error=true\nFROM a")
    assert tree.check is not None
    assert tree.syntax is not None
    assert (tree.check.value, tree.check.lines) == ("skip=all;error=true", Lines(2, 2))
    assert tree.syntax.value == "a/b:1 more"
    shebang = parse("#!/usr/bin/env x\n# syntax=a\nFROM a").syntax
    assert shebang is not None
    assert (shebang.value, shebang.lines) == ("a", Lines(2, 2))
    assert parse("FROM a").syntax is None


# Heredocs


def test_a_heredocs_body_belongs_to_its_instruction() -> None:
    run, user = instructions("RUN <<EOF\n# no comment\n a \\\n\nEOF\nUSER x")
    assert isinstance(run, Run)
    assert run.lines == Lines(2, 6)
    assert [(one.name, one.content, one.expand) for one in run.heredocs] == [("EOF", "# no comment\n a \\\n\n", True)]
    assert user.lines == Lines(7, 7)


def test_several_heredocs_and_descriptors() -> None:
    run = one(Run, "RUN <<A cat >x && 3<<-'B' cat\n1\nA\n\t2\n\tB\n")
    assert [(one.name, one.text, one.expand, one.descriptor) for one in run.heredocs] == [
        ("A", "1\n", True, 0),
        ("B", "2\n", False, 3),
    ]


@pytest.mark.parametrize(
    "text", ["RUN a << b", "RUN a <<<b", "RUN a <<", 'RUN ["a", "<<b"]', "RUN 'a <<b'", 'RUN a "<<b"', "USER <<x"]
)
def test_what_is_no_heredoc(text: str) -> None:
    (found,) = instructions(text)
    assert not getattr(found, "heredocs", ())


def test_copy_takes_heredocs_as_files() -> None:
    copy = one(Copy, 'COPY a <<x <<"y" b /d/\n1\nx\n2\ny\n')
    assert copy.sources == ("a", "b")
    assert [(one.name, one.content, one.expand) for one in copy.contents] == [("x", "1\n", True), ("y", "2\n", False)]
    assert one(Add, "ADD <<x /d\n1\nx").contents[0].content == "1\n"


@pytest.mark.parametrize(
    ("text", "kind", "script", "words"),
    [
        ("RUN a b", "shell", "a b", ()),
        ('RUN ["a", "b"]', "exec", "", ("a", "b")),
        ("RUN <<E\n a\nE", "shell", " a\n", ()),
        ("RUN <<-E\n\ta\nE", "shell", "a\n", ()),
        ("RUN <<-E\n\t\ta\x0c\tb\r\tc\u2028\td\nE", "shell", "a\x0c\tb\r\tc\u2028\td\n", ()),
        ("RUN <<E bash\n a\nE", "shell", "<<E bash\n a\nE", ()),
        ("RUN <<A cat && <<B cat\n1\nA\n2\nB", "shell", "<<A cat && <<B cat\n1\nA\n2\nB", ()),
        ("RUN <<E\n#!/bin/x\na\nE", "file", "#!/bin/x\na\n", ()),
    ],
)
def test_what_a_run_executes(text: str, kind: str, script: str, words: tuple[str, ...]) -> None:
    found = run_script(one(Run, text))
    assert (found.kind, found.text, found.words) == (kind, script, words)
    assert found.name == ("E" if kind == "file" else "")


def test_progress_shows_a_heredocs_first_line() -> None:
    assert run_script(one(Run, "RUN <<E\n\n a\nb\nE")).summary == " (a...)"
    assert run_script(one(Run, "RUN <<E\na\nE")).summary == " (a)"


def test_onbuild_keeps_its_heredocs() -> None:
    onbuild = one(Onbuild, "ONBUILD RUN <<E\na\nE")
    assert onbuild.trigger == "RUN <<E\na\nE"
    run = parse_trigger(onbuild.trigger, Lines(7, 7))
    assert isinstance(run, Run)
    assert (run.heredocs[0].content, run.lines) == ("a\n", Lines(7, 7))


# Forms of the instructions


@pytest.mark.parametrize(
    ("text", "words", "shell"),
    [
        ("a b", ("a b",), True),
        ('["a", "b c"]', ("a", "b c"), False),
        ('  [ "a" ]', ("a",), False),
        ("['a']", ("['a']",), True),
        ('["a" "b"]', ('["a" "b"]',), True),
        ('["c:\\windows"]', ('["c:\\windows"]',), True),
        ('["c:\\\\windows"]', ("c:\\windows",), False),
        ("[]", (), False),
        ("[ -d /x ] && y", ("[ -d /x ] && y",), True),
    ],
)
def test_commands_have_a_shell_form_and_an_exec_form(text: str, words: tuple[str, ...], shell: bool) -> None:
    expected = CommandLine(words, shell)
    assert one(Run, f"RUN {text}").command == expected
    assert one(Cmd, f"CMD {text}").command == expected
    assert one(Entrypoint, f"ENTRYPOINT {text}").command == expected


def test_an_array_of_other_things_than_strings_is_an_error() -> None:
    with pytest.raises(
        DockerfileError, match=r"^when using JSON array syntax, arrays must be comprised of strings only$"
    ):
        instructions('CMD ["a", 1]')


@pytest.mark.parametrize(
    ("text", "pairs"),
    [
        ('a="x y" b=c\\ d e=', (Pair("a", '"x y"'), Pair("b", "c\\ d"), Pair("e", ""))),
        ("a x y=z", (Pair("a", "x y=z", legacy=True),)),
        ("ONE TWO= THREE=world", (Pair("ONE", "TWO= THREE=world", legacy=True),)),
        ("a='b \"c' d=e", (Pair("a", "'b \"c'"), Pair("d", "e"))),
        ("a=b=c", (Pair("a", "b=c"),)),
        ('"a b"=c', (Pair('"a b"', "c"),)),
    ],
)
def test_env_and_label_have_two_forms(text: str, pairs: tuple[Pair, ...]) -> None:
    assert one(Env, f"ENV {text}").pairs == pairs
    assert one(Label, f"LABEL {text}").pairs == pairs


def test_a_path_with_spaces_needs_the_json_form() -> None:
    assert one(Copy, 'COPY ["a b", "c d/"]').sources == ("a b",)
    assert one(Add, 'ADD ["a b", "c d/"]').destination == "c d/"
    assert one(Volume, 'VOLUME ["/a b"]').paths == ("/a b",)
    assert one(Volume, "VOLUME /a /b").paths == ("/a", "/b")


def test_flags_of_copy_and_add() -> None:
    copy = one(Copy, 'COPY --from=a --chown=b --chmod=u+x --link --parents=true --exclude=*.c --exclude="d e" f g')
    assert (copy.from_, copy.chown, copy.chmod, copy.link, copy.parents) == ("a", "b", "u+x", True, True)
    assert copy.exclude == ("*.c", "d e")
    add = one(Add, "ADD --checksum=a --keep-git-dir --chown=b --chmod=1 --link=false --exclude=c --unpack=FALSE d e")
    assert (add.checksum, add.keep_git_dir, add.chown, add.chmod, add.link) == ("a", True, "b", "1", False)
    assert (add.exclude, add.unpack) == (("c",), False)
    assert one(Add, "ADD a b").unpack is None
    assert one(Copy, "COPY -- --a b").sources == ("--a",)


def test_flags_of_run() -> None:
    run = one(
        Run,
        "RUN --mount=from=a,target=/a --mount=type=cache,target=/c --network=none --security=insecure"
        " --device=v/d=x,required b",
    )
    assert (run.mounts_from, run.network, run.security) == (("a",), "none", "insecure")
    assert run.mount_flags == ("from=a,target=/a", "type=cache,target=/c")
    assert run.devices == (Device("v/d=x", True),)
    assert one(Run, "RUN --device=name=x,required=false a").devices == (Device("x", False),)
    assert (one(Run, "RUN a").network, one(Run, "RUN a").security) == ("default", "sandbox")


def test_a_healthcheck_has_its_options() -> None:
    options = "--interval=5m --timeout=3s --start-period=1h2m3.5s --start-interval=10ms --retries=2"
    text = f"HEALTHCHECK {options} CMD a || exit 1"
    second = 1_000_000_000
    health = Health(("CMD-SHELL", "a || exit 1"), 300 * second, 3 * second, 3_723_500_000_000, 10_000_000, 2)
    assert one(Healthcheck, text).health == health
    assert one(Healthcheck, 'HEALTHCHECK CMD ["a", "b"]').health == Health(("CMD", "a", "b"))
    assert one(Healthcheck, "healthcheck none").health == Health(("NONE",))
    assert one(Healthcheck, "HEALTHCHECK --interval=0s cmd a").health == Health(("CMD-SHELL", "a"))


def test_the_other_instructions() -> None:
    assert one(Expose, "EXPOSE 81 80/udp 8000-8010/tcp").ports == ("80/udp", "8000-8010/tcp", "81")
    assert one(User, "USER a:b").user == "a:b"
    assert one(Workdir, "WORKDIR /a b").path == "/a b"
    assert one(StopSignal, "STOPSIGNAL 9").signal == "9"
    assert one(Shell, 'SHELL ["a", "-c"]').words == ("a", "-c")
    assert one(Maintainer, "MAINTAINER A B <c@d>").name == "A B <c@d>"
    assert [(x.name, x.value) for x in one(Arg, 'ARG a b=1 c="x y"').arguments] == [
        ("a", None),
        ("b", "1"),
        ("c", '"x y"'),
    ]
    assert one(Onbuild, "ONBUILD   add . /a").trigger == "add . /a"


# Never anything but DockerfileError

_PIECES = st.sampled_from(
    [
        *("FROM a", "FROM $x AS b", "RUN ", "COPY ", "ADD ", "ENV ", "LABEL ", "ARG ", "CMD ", "EXPOSE ", "VOLUME "),
        *("HEALTHCHECK ", "SHELL ", "ONBUILD ", "USER ", "WORKDIR ", "STOPSIGNAL ", "MAINTAINER ", "ENTRYPOINT "),
        *("\n", "\n", "\n", " ", "\\\n", "`\n", "# ", "# escape=`\n", "# check=skip=all\n", "\r\n", "\t", "\ufeff"),
        *("--from=b ", "--mount=type=cache,target=$x ", "--chmod=$m ", "--", "--x", "--interval=1s ", "CMD ", "NONE"),
        *(
            "<<E ",
            "<<-'E' ",
            "E\n",
            "3<<",
            '["a", "b"]',
            "[",
            "]",
            '"',
            "'",
            "\\",
            "`",
            "=",
            "a=b",
            "a",
            "/b",
            "80/tcp",
        ),
        *("$x", "${x:-y}", "${x#", "${x/a/b}", "${", "}", "$", "${x:?no}", "\x00", "é", "\udcff", "1-2", "::", "0"),
    ]
)


@settings(max_examples=120)
@given(st.one_of(st.lists(_PIECES, max_size=30).map("".join), st.binary(max_size=60), st.text(max_size=60)))
def test_whatever_the_bytes_are_only_dockerfile_errors_come(text: bytes | str) -> None:
    with contextlib.suppress(DockerfileError):
        tree = parse(text)
        check(CheckInput(tree), CheckOptions(experimental_all=True))
        check_references(tree)
        target_stage(tree, "")
        for stage in tree.stages:
            for step in walk(tree, {"x": "v"}, stage=stage.index):
                list(sources(tree, step.instruction))
                if isinstance(step.instruction, Run):
                    run_script(step.instruction)


@settings(max_examples=40)
@given(st.lists(st.sampled_from(["RUN a", "USER b", "# c", "", "RUN d \\\n e", "COPY <<E /f\n g\nE"]), max_size=8))
def test_every_line_belongs_to_one_node(lines: list[str]) -> None:
    """Ranges do not overlap, are in order, and begin with the instruction's own keyword."""
    text = "\n".join(["FROM a", *lines])
    tree = parse(text)
    physical = text.split("\n")
    last = 0
    for found in (tree.stages[0], *tree.stages[0].instructions):
        assert last < found.lines.first <= found.lines.last <= len(physical)
        assert physical[found.lines.first - 1].startswith(found.keyword)
        last = found.lines.last


@pytest.mark.parametrize(
    "text", ["[" * 100_000, "$" * 60_000, "${a:-" * 10_000, "\\" * 60_000, '"' * 60_000, "<<" * 30_000]
)
def test_hostile_text_comes_back_at_once(text: str) -> None:
    for keyword in ("RUN", "COPY a", "ENV a=", "LABEL", "EXPOSE", "HEALTHCHECK CMD"):
        with contextlib.suppress(DockerfileError):
            walk(f"FROM a\n{keyword} {text[:60_000]}")
