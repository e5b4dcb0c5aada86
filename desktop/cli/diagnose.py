"""`cove diagnose`: looks at all that Cove needs, says what is wrong and what helps. Works with everything stopped."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from desktop import context as contexts
from desktop.cli.app import Failure
from desktop.cli.flags import Flag, Spec, parse
from desktop.cli.version import VERSION

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="diagnose",
    usage="[OPTIONS]",
    summary="Check all that Cove needs; say what is wrong, and what helps",
    most=0,
    flags=(
        Flag("bundle", kind="string", help="Write findings, logs and settings, without secrets, to this file (tar.gz)"),
        Flag("format", kind="string", help="json: the findings as JSON"),
    ),
    statuses=(("0", "nothing is wrong"), ("1", "something is"), ("125", "a flag is wrong")),
)


def main(argv: Sequence[str], app: App) -> int:
    """Starts nothing, and wakes no VM."""
    flags = parse(SPEC, argv)
    if flags.text("format") not in (None, "", "json"):
        raise Failure(f"unknown format: {flags.text('format')}", hint="There is one: json")
    chosen, file = app.context(), flags.text("bundle")
    # Imported by name at run time: the command line must start without the libraries of the VM.
    run = importlib.import_module("desktop.diagnose.run")
    findings = run.examine(app.paths, chosen.endpoint, is_vm=chosen.kind == contexts.VM, version=VERSION)
    print(run.shown(findings, as_objects=bool(flags.text("format"))))
    if file:
        names = run.write_bundle(Path(file), app.paths, findings)
        print(f"Wrote {file}: {len(names)} files, without keys, logins and environment values", file=sys.stderr)
    return 1 if run.is_bad(findings) else 0
