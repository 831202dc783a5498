"""How the command line answers what it does not understand: with what was likely meant, not a list alone."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from services.cli.failure import EXIT_USAGE
from services.kernel.nearest import likely_meant


class Parser(argparse.ArgumentParser):
    """Keeps the line breaks of its texts, answers a missing command with its help, and names what was likely
    meant. With --json among the words a mistake is one JSON object on standard error."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(**options)
        self._as_json = False

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        """As argparse does, but what nobody knows is told by the command that does not know it."""
        words = sys.argv[1:] if args is None else list(args)
        self._as_json = "--json" in words
        if words and words[0].startswith("-") and words[0].partition("=")[0] in self._below():
            self.error(self._about_unknown(words))  # before its value is taken for a command
        found, unknown = super().parse_known_args(words, namespace)
        if unknown:
            self.error(self._about_unknown(unknown))
        return found, unknown

    def error(self, message: str) -> NoReturn:
        """Say what is wrong, and exit with status 2."""
        if message.endswith("are required: COMMAND"):
            if not self._as_json:
                self.print_help(sys.stderr)
                self.exit(EXIT_USAGE)
            message = f"{self.prog} needs a command: {', '.join(subcommands(self))}"
        if self._as_json:
            sys.stderr.write(error_line(message, EXIT_USAGE))
        else:
            self.print_usage(sys.stderr)
            sys.stderr.write(f"error: {message}\n`{self.prog} --help` says more, with examples\n")
        self.exit(EXIT_USAGE)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        if isinstance(action, argparse._SubParsersAction):
            raise argparse.ArgumentError(None, self._about_command(str(value)))
        names = [str(choice) for choice in action.choices]
        told = f"{value!r} is none of {', '.join(names)}{_meant(str(value), names)}"
        raise argparse.ArgumentError(action, told)

    def _about_command(self, word: str) -> str:
        names = list(subcommands(self))
        below = [path for path, _ in leaves(self) if " " in path and path.split()[-1] == word]
        if below:  # `freshet tail`: right, and elsewhere
            hint = "; did you mean " + " or ".join(f"`{self.prog} {path}`" for path in below) + "?"
        else:
            hint = _meant(word, names) or f"; there are {', '.join(names)}"
        return f"{self.prog} has no command {word!r}{hint}"

    def _below(self) -> set[str]:
        """Options that only commands below this one have."""
        every = {name for _, command in leaves(self) for name in command._option_string_actions}
        return every - set(self._option_string_actions)

    def _about_unknown(self, words: list[str]) -> str:
        flag = next((word.partition("=")[0] for word in words if word.startswith("-")), None)
        if flag is None:
            return f"{self.prog} takes no further {words[0]!r}; quote a value that has spaces"
        told = f"{self.prog} has no option {flag}"
        if flag in self._below():
            return f"{told}; options stand behind the command"  # `freshet --json doctor`
        return told + _meant(flag, [name for action in self._actions for name in action.option_strings])


class Version(argparse.Action):
    """--version. What is installed is looked up when somebody asks: that takes 20 ms."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Print it and exit."""
        from importlib.metadata import PackageNotFoundError, version

        try:
            told = version("freshet")
        except PackageNotFoundError:
            told = "(not installed)"
        sys.stdout.write(f"freshet {told}\n")
        parser.exit()


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """The commands right below one, in the order of the help; none below a command that does something."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def leaves(parser: argparse.ArgumentParser, above: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Every command that does something, with its words: `events import`."""
    for name, command in subcommands(parser).items():
        path = f"{above} {name}".strip()
        if subcommands(command):
            yield from leaves(command, path)
        else:
            yield path, command


def error_line(message: str, exit_status: int) -> str:
    """A failure for programs: one line of JSON."""
    import msgspec  # 10 ms that most starts do without

    return msgspec.json.encode({"error": message, "exit_status": exit_status}).decode() + "\n"


def _meant(word: str, names: Sequence[str]) -> str:
    meant = likely_meant(word, names) if names else None
    return f"; did you mean {meant}?" if meant else ""
