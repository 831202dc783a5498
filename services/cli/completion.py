"""`freshet completion`: a script for a shell, made of the tree of commands. It starts no Python as one types.

A script walks the words that are there to the command that they name, then offers what may follow.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from services.cli.failure import EXIT_OK
from services.cli.output import print_json, print_line
from services.cli.usage import subcommands

_OF_FILES = re.compile(r"file|dir|items|vectors|\.onnx|\.npy|model", re.IGNORECASE)


@dataclass
class Flag:
    """One option. `names` begin with dashes; `choices` and `is_file` are about the value it takes, if any."""

    names: list[str]
    text: str
    takes_value: bool
    choices: list[str]
    is_file: bool


@dataclass
class Place:
    """Where one may stand: the words so far without `freshet`, and what may follow them."""

    words: str
    commands: dict[str, str] = field(default_factory=dict)  # with what each does
    flags: list[Flag] = field(default_factory=list)
    choices: list[str] = field(default_factory=list)
    takes_file: bool = False


def completion(arguments: argparse.Namespace) -> int:
    """Print the script."""
    from services.cli.parser import build_parser

    script = _SCRIPTS[arguments.shell](places(build_parser()))
    if arguments.as_json:
        print_json({"shell": arguments.shell, "script": script})
    else:
        print_line(script.rstrip("\n"))
    return EXIT_OK


def places(parser: argparse.ArgumentParser, words: str = "") -> list[Place]:
    """The tree of commands, the root first."""
    place = Place(words)
    below: list[Place] = []
    for name, command in subcommands(parser).items():
        place.commands[name] = _line(command.description)
        below += places(command, f"{words} {name}".strip())
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            continue
        named = f"{action.metavar or ''} {action.dest}"
        choices = [str(choice) for choice in action.choices or ()]
        is_file = not choices and bool(_OF_FILES.search(named))
        if action.option_strings:
            takes_value = action.nargs != 0
            text = _line(action.help)
            place.flags.append(Flag(list(action.option_strings), text, takes_value, choices, is_file))
        else:
            place.choices += choices
            place.takes_file |= is_file
    return [place, *below]


def _line(text: str | None) -> str:
    """The first line of a help text, as people see it."""
    return (text or "").partition("\n")[0].replace("%%", "%")


def _bash(tree: list[Place]) -> str:
    values, offers = [], []
    for place in tree:
        for flag in place.flags:
            for name in flag.names if flag.takes_value else ():
                act = (
                    "_freshet_files"
                    if flag.is_file
                    else f"_freshet_words {shlex.quote(_joined(flag.choices))}"
                )
                values.append(f"    {shlex.quote(f'{place.words}:{name}')}) {act}; return ;;")
        flags = _joined(name for flag in place.flags for name in flag.names)
        words = shlex.quote(_joined([*place.commands, *place.choices]))
        rest = "_freshet_files" if place.takes_file else f"_freshet_words {words}"
        offers.append(
            f"    {shlex.quote(place.words)}) flags={shlex.quote(flags)}; rest={shlex.quote(rest)} ;;"
        )
    return _filled(_BASH, tree, values, offers)


def _zsh(tree: list[Place]) -> str:
    values, offers = [], []
    for place in tree:
        for flag in place.flags:
            for name in flag.names if flag.takes_value else ():
                act = "_files" if flag.is_file else f"compadd -- {_joined(flag.choices)}"
                values.append(f"    {shlex.quote(f'{place.words}:{name}')}) {act}; return ;;")
        flags = [_described(name, flag.text) for flag in place.flags for name in flag.names]
        words = [_described(name, text) for name, text in place.commands.items()] + place.choices
        offers.append(f"    {shlex.quote(place.words)})")
        offers.append(f"      flags=({_joined(map(shlex.quote, flags))})")
        offers.append(f"      rest=({_joined(map(shlex.quote, words))}); files={int(place.takes_file)} ;;")
    return _filled(_ZSH, tree, values, offers)


def _fish(tree: list[Place]) -> str:
    lines = []
    for place in tree:
        at = f"complete -c freshet -n {_fished(f'__freshet_at {place.words}'.strip())}"
        for name, text in place.commands.items():
            lines.append(f"{at} -a {name} -d {_fished(text)}")
        if place.choices:
            lines.append(f"{at} -a {_fished(_joined(place.choices))}")
        if place.takes_file:
            lines.append(f"{at} -F")
        for flag in place.flags:
            names = _joined(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}" for name in flag.names
            )
            value = "-r -F" if flag.is_file else f"-x -a {_fished(_joined(flag.choices))}"
            lines.append(f"{at} {names} -d {_fished(flag.text)}{f' {value}' if flag.takes_value else ''}")
    return _filled(_FISH, tree, [], lines)


def _filled(script: str, tree: list[Place], values: list[str], offers: list[str]) -> str:
    known = [shlex.quote(place.words) for place in tree if place.words]
    return (
        script.replace("@KNOWN@", (" " if script is _FISH else "|").join(known))
        .replace("@VALUES@", "\n".join(values))
        .replace("@OFFERS@", "\n".join(offers))
    )


def _joined(words: Iterable[str]) -> str:
    return " ".join(words)


def _described(name: str, text: str) -> str:
    """For zsh's _describe."""
    return f"{name.replace(':', chr(92) + ':')}:{text}"


def _fished(text: str) -> str:
    """Quoted for fish, where a backslash works inside single quotes."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


_BASH = """\
# Completes freshet in bash: eval "$(freshet completion bash)"
_freshet_words() { COMPREPLY=($(compgen -W "$1" -- "$cur")); }
_freshet_files() {
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen -f -- "$cur"))
}
_freshet() {
  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} at= word flags= rest= i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${at:+$at }${COMP_WORDS[i]}
    case $word in
      @KNOWN@) at=$word ;;
    esac
  done
  case $at:$prev in
@VALUES@
  esac
  case $at in
@OFFERS@
  esac
  if [[ $cur == -* ]]; then _freshet_words "$flags"; else eval "$rest"; fi
}
complete -F _freshet freshet
"""
_ZSH = """\
#compdef freshet
# Completes freshet in zsh: source <(freshet completion zsh)
_freshet() {
  local at= word files=0
  local -a flags rest
  for word in "${(@)words[2,CURRENT-1]}"; do
    word=${at:+$at }$word
    case $word in
      @KNOWN@) at=$word ;;
    esac
  done
  case $at:${words[CURRENT-1]} in
@VALUES@
  esac
  case $at in
@OFFERS@
  esac
  if [[ ${words[CURRENT]} == -* ]]; then
    _describe -o option flags
  elif (( files )); then
    _files
  elif (( $#rest )); then
    _describe command rest
  fi
}
if [[ $funcstack[1] == _freshet ]]; then _freshet "$@"; else compdef _freshet freshet; fi
"""
_FISH = """\
# Completes freshet in fish: freshet completion fish > ~/.config/fish/completions/freshet.fish
function __freshet_at
  set -l at
  for word in (commandline -opc)[2..-1]
    if contains -- (string join -- ' ' $at $word) @KNOWN@
      set -a at $word
    end
  end
  test "$at" = "$argv"
end
complete -c freshet -f
@OFFERS@
"""
_SCRIPTS: dict[str, Callable[[list[Place]], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
