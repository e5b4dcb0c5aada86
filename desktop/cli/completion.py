"""`cove completion SHELL`: a script by which a shell completes commands, flags, and names of what the engine has.

The scripts ask `cove completion words WORD...` for the last word's completions, one a line.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from desktop.cli import groups
from desktop.cli.app import FAILURES, Failure
from desktop.cli.flags import Spec, parse
from desktop.client.engine import EngineClient

if TYPE_CHECKING:
    from desktop.cli.app import App

SPEC = Spec(
    name="completion",
    usage="bash|zsh|fish|powershell",
    summary="Print the script by which a shell completes cove's commands",
    least=1,
    mixed=False,
    more="Load it:\n  bash         source <(cove completion bash)\n  zsh          source <(cove completion zsh)\n"
    "  fish         cove completion fish | source\n"
    "  powershell   cove completion powershell | Out-String | Invoke-Expression",
)
_ASK_LIMIT_S = 2.0  # a shell waits for the names

BASH = """_cove() {
    local IFS=$'\\n'
    COMPREPLY=($(cove completion words "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} -eq 0 ]] && compopt -o default 2>/dev/null
    [[ ${COMPREPLY[0]-} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -F _cove cove
"""
ZSH = """#compdef cove
_cove() {
    local -a found
    found=("${(@f)$(cove completion words "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ -n "${found[1]}" ]]; then compadd -a found; else _files; fi
}
if [[ "${funcstack[1]}" == _cove ]]; then _cove; else compdef _cove cove; fi
"""
FISH = """function __cove_words
    set -l words (commandline -opc) (commandline -ct)
    cove completion words $words[2..-1] 2>/dev/null
end
complete -c cove -a '(__cove_words)'
"""
POWERSHELL = """Register-ArgumentCompleter -Native -CommandName cove -ScriptBlock {
    param($word, $ast, $position)
    $words = @($ast.CommandElements | Select-Object -Skip 1 | ForEach-Object { $_.ToString() })
    if (-not $word) { $words += '""' }
    cove completion words @words 2>$null | ForEach-Object {
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }
}
"""
_SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH, "powershell": POWERSHELL}

Names = Callable[[EngineClient], Iterable[str]]


def _containers(client: EngineClient) -> list[str]:
    return [str(name).removeprefix("/") for one in client.containers(True) for name in one.get("Names") or []]


def _running(client: EngineClient) -> list[str]:
    return [str(name).removeprefix("/") for one in client.containers() for name in one.get("Names") or []]


def _images(client: EngineClient) -> list[str]:
    return [str(tag) for image in client.images() for tag in image.get("RepoTags") or []]


def _volumes(client: EngineClient) -> list[str]:
    return [str(volume["Name"]) for volume in client.volumes()]


def _deleted(client: EngineClient) -> list[str]:
    from desktop.client import bin

    return [entry.name for entry in bin.entries(client) or ()]


def _networks(client: EngineClient) -> list[str]:
    return [str(network["Name"]) for network in client.networks()]


# What the arguments of a command are; of groups, "GROUP VERB" unless the verb is a command too.
NAMES: Mapping[str, Names] = {
    **dict.fromkeys(("attach", "exec", "kill", "pause", "port", "stats", "stop", "top"), _running),
    **dict.fromkeys(
        (
            "commit",
            "cp",
            "diff",
            "export",
            "logs",
            "rename",
            "restart",
            "rm",
            "start",
            "unpause",
            "update",
            "wait",
            "xray",
        ),
        _containers,
    ),
    "container inspect": _containers,
    **dict.fromkeys(("create", "history", "push", "rmi", "run", "save", "tag", "images"), _images),
    "image inspect": _images,
    "inspect": lambda client: [*_containers(client), *_images(client)],
    **dict.fromkeys((f"volume {verb}" for verb in ("clone", "export", "import", "inspect", "rename", "rm")), _volumes),
    **dict.fromkeys(("bin restore", "bin rm"), _deleted),
    **dict.fromkeys(("network inspect", "network rm", "network connect", "network disconnect"), _networks),
}
# After their first name come other words.
_ONE_NAME = frozenset(("attach", "create", "exec", "port", "rename", "run", "top", "volume clone", "volume rename"))


def main(argv: Sequence[str], app: App) -> int:
    shell, *words = parse(SPEC, argv).args
    if shell == "words":
        print("\n".join(complete(words, app)))
        return 0
    if shell not in _SCRIPTS or words:
        raise Failure(f"cove: unknown command: cove completion {shell}", hint="\nRun 'cove completion --help'")
    print(_SCRIPTS[shell], end="")
    return 0


def complete(words: Sequence[str], app: App) -> list[str]:
    """Completions of the last of `words`, which follow `cove` on the command line."""
    from desktop.cli.main import COMMANDS

    *before, last = words or [""]
    if last == '""':  # PowerShell has no empty argument
        last = ""
    if not before:
        return _matching(COMMANDS, last)
    command = before[0]
    if command not in COMMANDS:
        return []
    module = import_module(COMMANDS[command][0])
    verbs: Mapping[str, object] = getattr(module, "VERBS", {})
    if verbs and len(before) == 1:
        return _matching(verbs, last)
    name = f"{command} {before[1]}" if verbs else command
    spec: Spec | None = None if verbs else module.SPEC
    verb = verbs.get(before[1]) if verbs else None
    if isinstance(verb, groups.Same):  # `container stop` is `stop`
        spec = import_module(verb.module).SPEC
        name = name if name in NAMES else spec.name
    if last.startswith("-"):
        return _matching((f"--{flag.name}" for flag in spec.flags), last) if spec else []
    given = _arguments(before[2 if verbs else 1 :], spec)
    if name not in NAMES or (name in _ONE_NAME and given):
        return []
    return _matching(_asked(NAMES[name], app), last)


def _arguments(words: Sequence[str], spec: Spec | None) -> int:
    """How many of `words` are arguments, not flags nor their values."""
    takes = {
        text
        for flag in (spec.flags if spec else ())
        if flag.kind != "bool"
        for text in (f"--{flag.name}", f"-{flag.short}")
    }
    count, is_value = 0, False
    for word in words:
        if is_value:
            is_value = False
        elif word.startswith("-"):
            is_value = word in takes
        else:
            count += 1
    return count


def _asked(names: Names, app: App) -> Iterable[str]:
    """The names, of an engine that runs: none is started for a completion."""
    with contextlib.suppress(*FAILURES, Failure), EngineClient(app.context().endpoint, _ASK_LIMIT_S) as client:
        return list(names(client))
    return []


def _matching(words: Iterable[str], start: str) -> list[str]:
    return sorted({word for word in words if word.startswith(start)})
