"""`--secret` of `cove build`, by the words of docker's."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from desktop.cli.app import Failure

LIMIT_BYTES = 500_000  # of one, as docker's client has it


def secrets(values: Sequence[str], environ: Mapping[str, str]) -> dict[str, bytes]:
    """The secrets by id: `id=ID,src=FILE`, `id=ID,env=NAME`, or `id=ID`, the name of a variable or else a file.

    Raises Failure.
    """
    return dict(_secret(value, environ) for value in values)


def _secret(value: str, environ: Mapping[str, str]) -> tuple[str, bytes]:
    kind = name = file = variable = ""
    for field in next(csv.reader([value]), []):
        key, sign, said = field.partition("=")
        if not sign:
            raise _invalid(value, f"invalid field '{field}' must be a key=value pair")
        match key.lower():
            case "type":
                if said not in ("file", "env"):
                    raise _invalid(value, f'unsupported secret type "{said}"')
                kind = said
            case "id":
                name = said
            case "source" | "src":
                file = said
            case "env":
                variable = said
            case _:
                raise _invalid(value, f"unexpected key '{key.lower()}' in '{field}'")
    if not name:
        raise _invalid(value, "secret missing ID")
    if kind == "env" and not variable:
        file, variable = "", file
    if not variable and not file:
        file, variable = ("", name) if name in environ else (name, "")
    if variable:
        return name, environ.get(variable, "").encode()
    try:
        content = Path(file).read_bytes()
    except OSError as e:
        raise Failure(f"failed to read secret {name}: {e.strerror}: {file}") from e
    if len(content) > LIMIT_BYTES:
        raise Failure(f"secret {name} too big. max size 500KB")
    return name, content


def _invalid(value: str, why: str) -> Failure:
    return Failure(f'invalid argument "{value}" for "--secret" flag: {why}', 125)
