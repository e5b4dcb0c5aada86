"""Statements of the Dockerfile reference that need a build (tests/dockerfile/statements.py lists them all)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builder.test_classic import Classic
from tests.support.engine import NativeEngine


@pytest.fixture
def built(engine: NativeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Classic:
    monkeypatch.setenv("DOCKER_BUILDKIT", "0")
    return Classic(engine, tmp_path)


def test_what_a_stage_hands_on(built: Classic) -> None:
    """Of CMD, ENTRYPOINT, HEALTHCHECK and SHELL the last counts; ENV, labels and the shell reach stages on this one."""
    built.build(
        "FROM scratch AS other\nLABEL other=1\nCOPY Dockerfile /f\n"
        'FROM busybox AS base\nENV A=1\nLABEL base=1 both=base\nSHELL ["/bin/false"]\nSHELL ["/bin/sh", "-ec"]\n'
        "HEALTHCHECK CMD false\nHEALTHCHECK --retries=2 CMD true\nENTRYPOINT no\n"
        "FROM base\nENV B=$A\nLABEL both=last\nCOPY --from=other /f /f\nRUN echo $A$B >/ab\n"
        'ENTRYPOINT ["echo"]\nCMD ["no"]\nCMD ["yes"]\n',
        "-t",
        "handed-on",
    )
    config = built.inspect("handed-on")["Config"]
    assert (config["Entrypoint"], config["Cmd"], config["Shell"]) == (["echo"], ["yes"], ["/bin/sh", "-ec"])
    assert config["Healthcheck"] == {"Test": ["CMD-SHELL", "true"], "Retries": 2}
    assert config["Labels"] == {"base": "1", "both": "last"}
    assert {"A=1", "B=1"} <= set(config["Env"])
    assert built.output("handed-on") == "yes\n"
    seen = built.engine.docker("run", "--rm", "--network", "none", "--entrypoint", "cat", "handed-on", "/ab")
    assert seen.stdout == "11\n"


def test_triggers_run_in_order_with_their_variables(built: Classic) -> None:
    built.build(
        "FROM busybox\nENV D=/d\nONBUILD RUN mkdir $D && echo 1 >$D/f\nONBUILD WORKDIR $D\nONBUILD RUN echo 2 >>f\n",
        "-t",
        "ordered",
    )
    built.build("FROM ordered\nRUN echo 3 >>f\n", "-t", "in-order")
    assert built.output("in-order", "cat", "/d/f") == "1\n2\n3\n"
    built.build("FROM busybox\nONBUILD RUN exit 9\n", "-t", "failing")
    done = built.build("FROM failing\n", check=False)
    assert done.returncode
    assert "returned a non-zero code: 9" in done.stderr


def test_copy_escapes_and_keeps_folders(built: Classic) -> None:
    built.write(**{"arr[0].txt": "bracket", "arr0.txt": "no", "x__y__a.txt": "a", "x__y__z__b.txt": "b", "x__c.md": ""})
    (built.folder / "lone").mkdir()
    built.build(
        "FROM busybox\nCOPY arr[[]0].txt /one/\nCOPY --parents ./x/./y/*.txt /two/\nCOPY --parents x/**/*.txt /three/\n"
        "RUN mkdir /v\nVOLUME /v\nRUN echo kept >/v/f\n",
        "-t",
        "escaped",
    )
    found = built.output("escaped", "find", "/one", "/two", "/three", "-type", "f")
    assert sorted(found.split()) == [
        *("/one/arr[0].txt", "/three/x/y/a.txt", "/three/x/y/z/b.txt", "/two/y/a.txt"),
    ]
    assert built.output("escaped", "cat", "/v/f") == "kept\n"
    done = built.build("FROM busybox\nRUN echo >/f\nCOPY lone /f\n", check=False)
    assert done.returncode, "a folder onto a file"
