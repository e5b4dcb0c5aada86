"""Ignore files: docker's pattern rules, by tables and against a slow model."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vmagent.dockerfile.errors import DockerfileError
from vmagent.dockerfile.ignore import compile_ignore, ignore_lines, select_ignore_file


def walk(patterns: Sequence[str], path: str) -> bool:
    """The verdict of a walk from the root down to `path`."""
    ignore = compile_ignore(patterns)
    ignored, matched = False, tuple[bool, ...]()
    parts = path.split("/")
    for index in range(len(parts)):
        ignored, matched = ignore.below(matched, "/".join(parts[: index + 1]))
    return ignored


@pytest.mark.parametrize(
    ("patterns", "ignored", "kept"),
    [
        (["a"], ["a", "a/b", "a/b/c"], ["b", "ab", "b/a"]),
        (["a/"], ["a", "a/b"], ["b"]),
        (["./a/../b"], ["b"], ["a"]),
        (["*"], ["a", ".a", "a/b"], []),
        (["*.md"], ["x.md", ".md", "x.md/y"], ["d/x.md", "x.mdx"]),
        (["*/*.md"], ["d/x.md"], ["x.md", "d/e/x.md"]),
        (["**/*.md"], ["x.md", "d/x.md", "d/e/x.md"], ["x.mdx"]),
        (["**/node_modules"], ["node_modules", "a/node_modules", "a/node_modules/b"], ["a/node_modulesx"]),
        (["a/**"], ["a/b", "a/b/c"], ["a", "b/a/c"]),
        (["a/**/z"], ["a/z", "a/b/z", "a/b/c/z", "a/z/y"], ["a", "b/a/z"]),
        (["**"], ["a", "a/b"], []),
        (["**/"], ["a", "a/b"], []),
        (["**.go"], ["x.go", "d/x.go"], ["x.go2"]),
        (["**x?"], ["xy", "d/xy"], ["axy"]),
        (["a?c"], ["abc"], ["ac", "a/c", "abbc"]),
        (["a[b-d]e"], ["ace"], ["ae", "aae"]),
        (["a[^b-d]e"], ["aze"], ["ace"]),
        (["a[]]e"], None, []),
        (["arr[[]0]"], ["arr[0]"], ["arr0"]),
        (["a\\*b"], ["a*b"], ["axb"]),
        (["a.|)$(}+{b"], ["a.|)$(}+{b"], ["ax"]),
        (["*.md", "!README.md"], ["x.md"], ["README.md"]),
        (["*.md", "!README*.md", "README-secret.md"], ["x.md", "README-secret.md"], ["README.md"]),
        (["*.md", "README-secret.md", "!README*.md"], ["x.md"], ["README.md", "README-secret.md"]),
        (["!README.md", "*.md"], ["README.md"], []),
        (["docs", "!docs/a.md"], ["docs", "docs/b"], ["docs/a.md"]),
        (["*", "!a/b"], ["a", "a/c", "c"], ["a/b", "a/b/c"]),
        (["**", "!a/b", "a/b/c"], ["a/b/c", "a"], ["a/b", "a/b/d"]),
        (["a*b*c*d*e"], ["abcde", "axbxcxdxe", "abbccdde"], ["abcd", "axbxcxd/e"]),
        (["**/a*/**/b*/**/c"], ["a/b/c", "x/ay/z/b1/c"], ["a/c", "b/c"]),
        ([" a ", ""], ["a"], ["b"]),
        (["é*"], ["éa"], ["e"]),
    ],
)
def test_patterns(patterns: list[str], ignored: list[str] | None, kept: list[str]) -> None:
    if ignored is None:
        with pytest.raises(DockerfileError, match="syntax error in pattern"):
            compile_ignore(patterns)
        return
    ignore = compile_ignore(patterns)
    for path in ignored:
        assert ignore.ignores(path), path
        assert walk(patterns, path), path
    for path in kept:
        assert not ignore.ignores(path), path
        assert not walk(patterns, path), path


def test_the_root_itself_is_never_ignored() -> None:
    assert not compile_ignore(["**", "."]).ignores(".")


@pytest.mark.parametrize(
    "pattern", ["[", "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[^", "[^bc", "a[", "\\", "[b-a]", "!a["]
)
def test_a_malformed_pattern_is_an_error(pattern: str) -> None:
    with pytest.raises(DockerfileError) as caught:
        compile_ignore(["ok", pattern])
    assert str(caught.value) == "syntax error in pattern"


def test_a_lone_exclamation_mark_is_an_error() -> None:
    with pytest.raises(DockerfileError) as caught:
        compile_ignore(ignore_lines("a\n! \n"))
    assert str(caught.value) == 'illegal exclusion pattern: "!"'


def test_lines_are_cleaned() -> None:
    text = "\ufeff# comment\n\n  /a/  \r\n!/b//c\n! ./d\n #e\n/\n../f\n"
    assert ignore_lines(text.encode()) == ("a", "!b/c", "!d", "#e", "/", "../f")


def test_a_dockerfiles_own_ignore_file_comes_first() -> None:
    assert select_ignore_file("x/a.Dockerfile", {".dockerignore", "x/a.Dockerfile.dockerignore"}) == (
        "x/a.Dockerfile.dockerignore"
    )
    assert select_ignore_file("Dockerfile", {".dockerignore", "x.dockerignore"}) == ".dockerignore"
    assert select_ignore_file("Dockerfile", {"x"}) is None


def test_a_pattern_behind_the_deciding_one_counts_below_a_folder_by_itself_alone() -> None:
    """docker's walk does not try it on the folder, so that it does not hold for what is below."""
    patterns = ["d", "!d/x", "d"]
    assert compile_ignore(patterns).ignores("d/x")
    assert not walk(patterns, "d/x")


def test_a_hostile_pattern_takes_no_exponential_time() -> None:
    """As one regular expression with a star for each star it would not come back."""
    ignore = compile_ignore(["*a" * 25 + "*b", "**a" * 25 + "b", "**/*a" * 10 + "/b"])
    assert not ignore.ignores("a" * 250 + "/" + "a/" * 100 + "a" * 250)


# The model: every rule of one pattern by trying all ways; then the rules of several.


def model_matches(pattern: str, path: str) -> bool:
    if pattern.startswith("**") and not any(sign in pattern[2:] for sign in "*?[]\\"):
        end = pattern[2:]
        return path.endswith(end) or (end[:1] == "/" and path == end[1:])
    return _model(pattern, path)


def _model(pattern: str, path: str) -> bool:
    if not pattern:
        return not path
    if pattern.startswith("**"):
        rest = pattern[3:] if pattern.startswith("**/") else pattern[2:]
        if not rest:
            return True
        places = (index + 1 for index, character in enumerate(path) if character == "/")
        return any(_model(rest, path[index:]) for index in (0, *places))
    if pattern[0] == "*":
        longest = path.find("/") if "/" in path else len(path)
        return any(_model(pattern[1:], path[index:]) for index in range(longest + 1))
    if not path:
        return False
    if pattern[0] == "[":
        end = pattern.index("]", 3 if pattern[1] == "^" else 2)
        members = pattern[1:end].removeprefix("^")
        if any(sign in members for sign in "\\-"):
            assume(False)  # the tables have those
        return ((path[0] in members) is not (pattern[1] == "^")) and _model(pattern[end + 1 :], path[1:])
    if pattern[0] == "\\":
        return path[0] == pattern[1] and _model(pattern[2:], path[1:])
    if pattern[0] == "?":
        return path[0] != "/" and _model(pattern[1:], path[1:])
    return pattern[0] == path[0] and _model(pattern[1:], path[1:])


def model_ignores(patterns: Sequence[str], path: str) -> bool:
    """The last pattern that matches the path or a folder above it decides."""
    parts = path.split("/")
    above = ["/".join(parts[: index + 1]) for index in range(len(parts))]
    verdict = False
    for pattern in patterns:
        if any(model_matches(pattern.removeprefix("!"), one) for one in above):
            verdict = not pattern.startswith("!")
    return verdict


_PATHS = st.lists(st.text("ab.]", min_size=1, max_size=4), min_size=1, max_size=4).map("/".join)
_PATTERNS = st.text("aab//**?.[]^\\", min_size=1, max_size=9)


@settings(max_examples=150)
@given(st.lists(st.tuples(st.booleans(), _PATTERNS), min_size=1, max_size=3), _PATHS)
def test_a_path_is_judged_as_by_the_model(written: list[tuple[bool, str]], path: str) -> None:
    lines = ignore_lines("\n".join("!" * negated + pattern for negated, pattern in written))
    try:
        ignore = compile_ignore(lines)
    except DockerfileError:
        assume(False)
    cleaned = ["!" * pattern.negated + pattern.text for pattern in ignore.patterns]
    assume("." not in path.split("/"))
    assert ignore.ignores(path) == model_ignores(cleaned, path)


@settings(max_examples=75)
@given(st.text("ab*!/[]?\\ \n#.", max_size=30))
def test_any_ignore_file_compiles_or_is_an_error(text: str) -> None:
    with contextlib.suppress(DockerfileError):
        compile_ignore(ignore_lines(text)).ignores("a/b")


@settings(max_examples=75)
@given(st.lists(st.tuples(st.booleans(), _PATTERNS), min_size=1, max_size=3), _PATHS)
def test_no_folder_is_skipped_that_holds_something(written: list[tuple[bool, str]], path: str) -> None:
    try:
        ignore = compile_ignore("!" * negated + pattern for negated, pattern in written)
    except DockerfileError:
        assume(False)
    if not ignore.ignores(path):
        for index, character in enumerate(path):
            if character == "/" and ignore.ignores(path[:index]):
                assert ignore.may_count_below(path[:index])
