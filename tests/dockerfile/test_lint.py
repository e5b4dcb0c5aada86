"""Build checks: when each one speaks, what it says, and the directive that chooses among them."""

from __future__ import annotations

import pytest

from vmagent.dockerfile.errors import DockerfileError, Lines
from vmagent.dockerfile.excerpt import excerpt
from vmagent.dockerfile.expand import predefined_arguments
from vmagent.dockerfile.ignore import compile_ignore
from vmagent.dockerfile.lint import BaseImage, CheckInput, check, check_options
from vmagent.dockerfile.parser import parse
from vmagent.dockerfile.rules import CheckOptions, check_error, parse_check_options, report

ALL = CheckOptions(experimental_all=True)


def found(text: str, options: CheckOptions = ALL, **more: object) -> list[tuple[str, str, int]]:
    """Rule, message and first line of every finding."""
    predefined = predefined_arguments("linux/amd64", "linux/amd64", "", {})
    what = CheckInput(parse(text), predefined=predefined, target_platform="linux/amd64", **more)  # type: ignore[arg-type]
    checked = check(what, options)
    assert checked.error is None
    return [(one.rule.name, one.message, one.lines.first) for one in checked.findings]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM a AS Bad", [("StageNameCasing", "Stage name 'Bad' should be lowercase", 1)]),
        ("FROM a as b", [("FromAsCasing", "'as' and 'FROM' keywords' casing do not match", 1)]),
        ("from a AS b", [("FromAsCasing", "'AS' and 'from' keywords' casing do not match", 1)]),
        ("FROM a\nRUN b \\\n\n c", [("NoEmptyContinuation", "Empty continuation line", 4)]),
        (
            "FROM a\nrun b\nRUN c",
            [
                (
                    "ConsistentInstructionCasing",
                    "Command 'run' should match the case of the command majority (uppercase)",
                    2,
                )
            ],
        ),
        (
            "from a\nrun b\nRUN c",
            [
                (
                    "ConsistentInstructionCasing",
                    "Command 'RUN' should match the case of the command majority (lowercase)",
                    3,
                )
            ],
        ),
        (
            "FROM a\nRun b",
            [
                (
                    "ConsistentInstructionCasing",
                    "Command 'Run' should match the case of the command majority (uppercase)",
                    2,
                )
            ],
        ),
        (
            "FROM a AS b\nFROM a AS b",
            [("DuplicateStageName", 'Duplicate stage name "b", stage names should be unique', 2)],
        ),
        (
            "FROM a AS context",
            [("ReservedStageName", 'Stage name should not use the same name as reserved stage "context"', 1)],
        ),
        (
            "FROM a\nCMD b",
            [
                (
                    "JSONArgsRecommended",
                    "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals",
                    2,
                )
            ],
        ),
        ('FROM a\nSHELL ["b"]\nENTRYPOINT c', []),
        ('FROM a AS x\nSHELL ["b"]\nFROM x\nCMD c', []),
        (
            "FROM a\nMAINTAINER b",
            [("MaintainerDeprecated", "Maintainer instruction is deprecated in favor of using label", 2)],
        ),
        (
            "ARG VERSION=1\nFROM a:${VERSIO}x",
            [("UndefinedArgInFrom", "FROM argument 'VERSIO' is not declared (did you mean VERSION?)", 2)],
        ),
        (
            "FROM --platform=$UNKNOWN_NAME-$BUILDPLATFORM a",
            [("UndefinedArgInFrom", "FROM argument 'UNKNOWN_NAME' is not declared", 1)],
        ),
        (
            "FROM a\nWORKDIR b",
            [
                (
                    "WorkdirRelativePath",
                    'Relative workdir "b" can have unexpected results if the base image changes',
                    2,
                )
            ],
        ),
        ("FROM a\nWORKDIR /b\nWORKDIR c", []),
        (
            "FROM a\nENV DIRECTORY=1\nCOPY $DIRECTORI /d",
            [("UndefinedVar", "Usage of undefined variable '$DIRECTORI' (did you mean $DIRECTORY?)", 3)],
        ),
        ("FROM a\nARG x\nCOPY $x /d", []),
        ("FROM a\nRUN echo $nothing", []),
        (
            'FROM a\nCMD ["b"]\nCMD ["c"]',
            [
                (
                    "MultipleInstructionsDisallowed",
                    "Multiple CMD instructions should not be used in the same stage because only the last one will be"
                    " used",
                    2,
                )
            ],
        ),
        ('FROM a AS x\nCMD ["b"]\nFROM x\nCMD ["c"]', []),
        (
            "FROM a\nLABEL b c",
            [
                (
                    "LegacyKeyValueFormat",
                    '"LABEL key=value" should be used instead of legacy "LABEL key value" format',
                    2,
                )
            ],
        ),
        (
            "FROM --platform=$TARGETPLATFORM a",
            [
                (
                    "RedundantTargetPlatform",
                    "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default"
                    " behavior",
                    1,
                )
            ],
        ),
        (
            "FROM --platform=linux/arm64 a",
            [
                (
                    "FromPlatformFlagConstDisallowed",
                    'FROM --platform flag should not use constant value "linux/arm64"',
                    1,
                )
            ],
        ),
        ("FROM --platform=linux/arm64 a AS build_arm64", []),
        (
            "FROM a\nARG DB_PASSWORD\nENV AUTH=1 PUBLIC_KEY=2",
            [
                (
                    "SecretsUsedInArgOrEnv",
                    'Do not use ARG or ENV instructions for sensitive data (ARG "DB_PASSWORD")',
                    2,
                ),
                ("SecretsUsedInArgOrEnv", 'Do not use ARG or ENV instructions for sensitive data (ENV "AUTH")', 3),
            ],
        ),
        (
            "FROM a\nEXPOSE 80/TcP",
            [("ExposeProtoCasing", "Defined protocol '80/TcP' in EXPOSE instruction should be lowercase", 2)],
        ),
        (
            "FROM a\nEXPOSE 127.0.0.1:80:80",
            [
                (
                    "ExposeInvalidFormat",
                    "EXPOSE instruction should not define an IP address or host-port mapping, found '127.0.0.1:80:80'",
                    2,
                )
            ],
        ),
        (
            "# something\nFROM a AS b",
            [
                (
                    "InvalidDefinitionDescription",
                    "Comment for FROM should follow the format: `# b <description>`",
                    2,
                )
            ],
        ),
        (
            "FROM a\n# something\nARG x y",
            [
                (
                    "InvalidDefinitionDescription",
                    "Comment for ARG should follow the format: `# <arg_key> <description>`",
                    3,
                )
            ],
        ),
        ("# b is good\nFROM a AS b\n# note\n\nRUN x\n#\nARG y", []),
    ],
)
def test_a_check_speaks(text: str, expected: list[tuple[str, str, int]]) -> None:
    assert found(text) == expected


def test_a_base_that_only_a_build_argument_completes() -> None:
    text = "ARG TAG\nFROM busybox:$TAG"
    message = "Default value for ARG busybox:$TAG results in empty or invalid base image name"
    assert found(text, given={"TAG": "1"}) == [("InvalidDefaultArgInFrom", message, 2)]
    assert found("ARG TAG=1\nFROM host:5000/Busy.box/x:$TAG") != []
    good = "FROM host:5000/busy.box/x__y:t@sha256:" + "0" * 64
    assert found(good) == []


def test_a_base_image_brings_variables_a_shell_and_a_platform() -> None:
    text = "FROM a\nCOPY $HERE /d\nCMD b"
    assert [one[0] for one in found(text)] == ["UndefinedVar", "JSONArgsRecommended"]
    image = BaseImage({"HERE": "x"}, shell=True, platform="linux/arm64")
    message = 'Base image a was pulled with platform "linux/arm64", expected "linux/amd64" for current build'
    assert found(text, images={0: image}) == [("InvalidBaseImagePlatform", message, 1)]


def test_a_copied_file_that_the_ignore_file_excludes() -> None:
    ignore = compile_ignore(["*.md", "!ok.md"])
    text = "FROM a\nCOPY ./x.md ok.md /d/\nADD /y.md https://h/z.md /d/\nCOPY --from=b q.md /"
    assert found(text, ignore=ignore) == [
        ("CopyIgnoredFile", 'Attempting to Copy file "./x.md" that is excluded by .dockerignore', 2),
        ("CopyIgnoredFile", 'Attempting to Add file "/y.md" that is excluded by .dockerignore', 3),
    ]


def test_only_the_wanted_stages_are_checked() -> None:
    text = "FROM a AS x\nCMD b\nFROM a\nCMD c"
    assert [one[2] for one in found(text, stages={1})] == [4]


def test_what_stops_the_build_comes_with_the_checks_before_it() -> None:
    checked = check(CheckInput(parse("FROM a as b\nUSER ${x:?no user}")), ALL)
    assert [one.rule.name for one in checked.findings] == ["FromAsCasing"]
    assert str(checked.error).endswith("x: no user")


@pytest.mark.parametrize(
    ("directive", "names"),
    [
        ("", ["StageNameCasing", "FromAsCasing", "JSONArgsRecommended"]),
        ("skip=FromAsCasing, StageNameCasing", ["JSONArgsRecommended"]),
        ("skip=fromascasing", ["StageNameCasing", "FromAsCasing", "JSONArgsRecommended"]),
        ("skip=all", []),
        ("skip=all;experimental=InvalidDefinitionDescription", ["InvalidDefinitionDescription"]),
        ("skip=all;experimental=all;error=true", ["InvalidDefinitionDescription"]),
    ],
)
def test_the_check_directive_chooses(directive: str, names: list[str]) -> None:
    head = f"# check={directive}\n" if directive else ""
    tree = parse(head + "# note\nFROM a as Bad\nCMD b")
    checked = check(CheckInput(tree), check_options(tree, {}))
    assert [one.rule.name for one in checked.findings] == sorted(
        names, key=[one.rule.name for one in checked.findings].index
    )
    assert check_options(tree, {}).error is ("error=true" in directive)


def test_a_build_argument_replaces_the_directive() -> None:
    tree = parse("# check=skip=all\nFROM a as b")
    options = check_options(tree, {"BUILDKIT_DOCKERFILE_CHECK": "error=true"})
    error = check_error(check(CheckInput(tree), options).findings)
    assert options.error
    assert str(error) == "lint violation found for rules: FromAsCasing"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("skip", 'invalid check option "skip"'),
        ("what=1", 'invalid check option "what"'),
        (
            "error=yes",
            'failed to parse check option "error=yes": strconv.ParseBool: parsing "yes": invalid syntax',
        ),
    ],
)
def test_a_wrong_directive(text: str, message: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        parse_check_options(text)
    assert str(caught.value) == "failed to parse check options: " + message


def test_a_report_shows_rules_and_lines() -> None:
    source = "FROM a\nCMD b\n"
    findings = check(CheckInput(parse(source)), CheckOptions()).findings
    assert findings[0].short == (
        "JSONArgsRecommended: JSON arguments recommended for CMD to prevent unintended behavior related to OS signals"
        " (line 2)"
    )
    assert report(findings, source, "Dockerfile") == (
        "\nWARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/\n"
        "JSON arguments recommended for CMD to prevent unintended behavior related to OS signals\n"
        "Dockerfile:2\n--------------------\n   1 |     FROM a\n   2 | >>> CMD b\n   3 |     \n--------------------\n"
    )


@pytest.mark.parametrize(
    ("places", "shown"),
    [
        ([Lines(1, 1)], ">1 2 3"),
        ([Lines(5, 5)], "3 4 >5 6 7"),
        ([Lines(4, 6)], "3 >4 >5 >6 7"),
        ([Lines(9, 9)], "7 8 >9"),
        ([Lines(3, 3), Lines(6, 6)], "2 >3 4 5 >6 7"),
        ([Lines(8, 99)], "7 >8 >9"),
        ([Lines(10, 11)], ""),
        ([Lines(0, 0)], ""),
        ([], ""),
    ],
)
def test_an_excerpt_marks_lines(places: list[Lines], shown: str) -> None:
    source = "\n".join("abcdefghi")
    lines = excerpt(source, "f", places).splitlines()[2:-1]
    assert " ".join((">" if ">>>" in line else "") + line.split()[0] for line in lines) == shown
