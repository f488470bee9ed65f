"""`holdfast completion SHELL`: a script that completes verbs, options and names; nothing but the parser is imported."""

import inspect
import typing
from typing import Annotated

import typer

from holdfast.cli.codes import ExitCode
from holdfast.cli.errors import nearest
from holdfast.cli.terminal import emit
from holdfast.core.errors import UsageError

BASH = """\
_holdfast() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" verb="${{COMP_WORDS[1]}}"
    if [ "$COMP_CWORD" -eq 1 ]; then COMPREPLY=($(compgen -W "{verbs}" -- "$word")); return; fi
    case "$verb" in
{cases}
    esac
    COMPREPLY+=($(compgen -f -- "$word"))
}}
complete -o filenames -F _holdfast holdfast
"""
FISH = "complete -c holdfast -n __fish_use_subcommand -f -a {verb} -d '{help}'"


def command(shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.")]) -> int:
    """Print a completion script, for example: holdfast completion bash >> ~/.bashrc."""
    scripts = {"bash": bash, "zsh": lambda: "autoload -U +X bashcompinit && bashcompinit\n" + bash(), "fish": fish}
    if shell not in scripts:
        raise UsageError(
            "HF807",
            f"There is no completion for {shell!r}",
            expected="bash, zsh or fish",
            fix=nearest(shell, list(scripts)) or "holdfast completion bash",
        )
    emit(scripts[shell]().rstrip())
    return ExitCode.PASSED


def bash() -> str:
    """The script for bash; zsh reads it through bashcompinit."""
    from holdfast.cli.main import VERBS

    cases = [f'        {verb}) COMPREPLY=($(compgen -W "{" ".join(offers(verb))}" -- "$word"));;' for verb in VERBS]
    return BASH.format(verbs=" ".join(VERBS), cases="\n".join(cases))


def fish() -> str:
    """The script for fish."""
    from holdfast.cli.main import VERBS

    lines = [FISH.format(verb=verb, help=text) for verb, (_, text) in VERBS.items()]
    for verb in VERBS:
        for offer in offers(verb):
            kind = (
                f"-l {offer[2:]}"
                if offer.startswith("--")
                else f"-s {offer[1:]}"
                if offer.startswith("-")
                else f"-a {offer}"
            )
            lines.append(f"complete -c holdfast -n '__fish_seen_subcommand_from {verb}' {kind}")
    return "\n".join(lines)


def offers(verb: str) -> list[str]:
    """The options of a verb, from its signature, and the words it takes."""
    import importlib

    from holdfast.cli.catalog import LISTS
    from holdfast.cli.main import VERBS
    from holdfast.cli.schema import DOCUMENTS

    found = ["--help"]
    function = importlib.import_module(VERBS[verb][0]).command
    for parameter in inspect.signature(function).parameters.values():
        for extra in typing.get_args(parameter.annotation)[1:]:
            words = (getattr(extra, "default", None), *(getattr(extra, "param_decls", None) or ()))
            found += [word for word in words if isinstance(word, str) and word.startswith("-")]
    return found + {
        "list": list(LISTS),
        "completion": ["bash", "zsh", "fish"],
        "schema": list(DOCUMENTS),
        "audit": ["digits-mlp"],
    }.get(verb, [])
