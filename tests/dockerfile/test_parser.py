"""The parser: what a Dockerfile's text becomes, and the words of its errors."""

from __future__ import annotations

import pytest

from vmagent.dockerfile.errors import DockerfileError, Lines
from vmagent.dockerfile.parser import parse
from vmagent.dockerfile.tree import Arg, CommandLine, Copy, Dockerfile, Env, Instruction, Pair, Run, Workdir


def instructions(text: str) -> tuple[Instruction, ...]:
    return parse("FROM scratch\n" + text).stages[0].instructions


def one(text: str) -> Instruction:
    (found,) = instructions(text)
    return found


def test_a_file_becomes_arguments_and_stages() -> None:
    text = """# syntax=docker/dockerfile:1
# escape=`

# V the version
ARG V=1
FROM --platform=$BUILDPLATFORM base:$V AS Build
RUN --mount=type=cache,target=/c make `
  # a comment
  all
FROM scratch
COPY --from=build --chown=1:2 /a /b /out/
WORKDIR C:\\
"""
    tree = parse(text)
    assert isinstance(tree, Dockerfile)
    assert tree.escape == "`"
    assert tree.syntax is not None
    assert tree.syntax.value == "docker/dockerfile:1"
    (arg,) = tree.arguments
    assert isinstance(arg, Arg)
    assert arg.arguments[0].comment == "the version"
    assert arg.arguments[0].value == "1"
    build, final = tree.stages
    assert (build.name, build.base, build.platform) == ("build", "base:$V", "$BUILDPLATFORM")
    (run,) = build.instructions
    assert isinstance(run, Run)
    assert run.command == CommandLine(("make   all",), True)
    assert run.lines == Lines(7, 9)
    assert run.mount_flags == ("type=cache,target=/c",)
    copy, workdir = final.instructions
    assert isinstance(copy, Copy)
    assert isinstance(workdir, Workdir)
    assert (copy.sources, copy.destination, copy.from_, copy.chown) == (("/a", "/b"), "/out/", "build", "1:2")
    assert workdir.path == "C:\\"


def test_env_has_two_forms() -> None:
    new = one('ENV a="x y" b=c\\ d')
    old = one("ENV a x y=z")
    assert isinstance(new, Env)
    assert isinstance(old, Env)
    assert new.pairs == (Pair("a", '"x y"'), Pair("b", "c\\ d"))
    assert old.pairs == (Pair("a", "x y=z", legacy=True),)


@pytest.mark.parametrize(
    ("text", "message", "lines"),
    [
        ("", "the Dockerfile cannot be empty", None),
        ("\n# x\n", "file with no instructions", Lines(2, 2)),
        ("ARG a\n", "dockerfile contains no stages to build", None),
        ("RUN a\n", "no build stage in current context", Lines(1, 1)),
        (
            "FROM a\n\nRUNN b \\\n c\n",
            "dockerfile parse error on line 3: unknown instruction: RUNN (did you mean RUN?)",
            Lines(3, 4),
        ),
        (
            "FROM a AS 1b\n",
            'dockerfile parse error on line 1: invalid name for build stage: "1b", name can\'t start with a number or'
            " contain symbols",
            Lines(1, 1),
        ),
        ("FROM a\nRUN <<E\nx\n", "unterminated heredoc", Lines(2, 3)),
        (
            "FROM a\nCOPY --fron=b c d\n",
            "dockerfile parse error on line 2: unknown flag: --fron (did you mean from?)",
            Lines(2, 2),
        ),
    ],
)
def test_a_fault_has_its_lines_and_buildkits_words(text: str, message: str, lines: Lines | None) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse(text)
    assert (str(caught.value), caught.value.lines) == (message, lines)
