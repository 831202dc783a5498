"""The command line of `freshet scenarios`."""

from __future__ import annotations

from typing import Any

from services.cli.parser_flags import add_command, add_group, server_flags

_CHECK_EPILOG = """\
Mistakes are told with their lines, all at once. A file without mistakes is then held against the catalogue of
the running Freshet, where there is one: pinned items that are not there, values that no item has.

  freshet scenarios check scenarios.toml
  FRESHET_SCENARIOS=scenarios.toml freshet run

Exit status: 0 all is well, 3 it would be used but something is odd, 1 it would not be used. A running Freshet
looks at its file every second; docs/SCENARIOS.md says what stands in one."""


def scenario_commands(commands: Any) -> None:
    """check, list."""
    scenarios = add_group(commands, "scenarios", "check and list the lists that there are")
    check = add_command(scenarios, "check", "scenarios:check", "check a scenario file before it is used")
    check.epilog = _CHECK_EPILOG
    check.add_argument("file", metavar="FILE", help="a TOML file; - reads standard input")
    check.add_argument("--offline", action="store_true", help="do not ask a running Freshet")
    listing = add_command(
        scenarios,
        "list",
        "scenarios:listing",
        "list the scenarios of a running Freshet",
        example="freshet scenarios list\nfreshet scenarios list --url https://shop.example --key KEY --json",
    )
    for command in (check, listing):
        server_flags(command)
