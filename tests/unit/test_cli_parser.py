"""The command line itself: every help has an example that works, and every mistake is told with a way out."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from itertools import takewhile
from pathlib import Path

import pytest

from services.cli.__main__ import main
from services.cli.parser import build_parser
from services.cli.usage import leaves, subcommands

COMMANDS = dict(leaves(build_parser()))
# `  zcat … | FRESHET_PORT=1 freshet events import -   what it does`: two spaces end the command.
_EXAMPLE = re.compile(r"^  (?:\S+ )*?\S*?(freshet (?:\S+ ?)+)", re.MULTILINE)


def examples(path: str) -> list[list[str]]:
    """The words of each example in the help of a command, without `freshet` and what is for the shell."""
    lines: list[str] = _EXAMPLE.findall(COMMANDS[path].epilog or "")
    if path == "completion":
        lines = [line.partition(")")[0] for line in lines]
    return [list(takewhile(lambda word: word not in "<>", shlex.split(line)[1:])) for line in lines]


@pytest.mark.parametrize("path", COMMANDS)
def test_the_help_has_an_example_and_every_example_is_understood(path: str) -> None:
    found = examples(path)
    assert any(words[: len(path.split())] == path.split() for words in found), COMMANDS[path].epilog
    for words in found:
        build_parser().parse_args(words)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_takes_json(path: str) -> None:
    assert "--json" in COMMANDS[path].format_help()


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("evnets", "freshet has no command 'evnets'; did you mean events?"),
        ("tail", "did you mean `freshet events tail`?"),
        ("import shop.csv", "did you mean `freshet events import` or `freshet items import`?"),
        ("release promot x", "freshet release has no command 'promot'; did you mean promote?"),
        ("recommend ada --filtre x", "freshet recommend has no option --filtre; did you mean --filter?"),
        ("--url x doctor", "has no option --url; options stand behind the command"),
        ("completion basch", "'basch' is none of bash, zsh, fish; did you mean bash?"),
        ("profile show a b", "takes no further 'b'"),
        ("zzqx", "there are run, events, items"),
    ],
)
def test_a_mistake_is_told_with_what_was_likely_meant(
    line: str, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (shlex.split(line), [*shlex.split(line), "--json"]):
        with pytest.raises(SystemExit) as ended:
            main(words)
        assert ended.value.code == 2
        out, err = capsys.readouterr()
        assert out == ""
        said = json.loads(err) if "--json" in words else {"error": err, "exit_status": 2}
        assert told in str(said["error"])
        assert said["exit_status"] == 2


def test_a_failure_is_json_where_json_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["profile", "show", "ada", "--url", "http://127.0.0.1:1"]
    assert main([*asked, "--json"]) == 1
    told = json.loads(capsys.readouterr().err)
    assert told["exit_status"] == 1
    assert "is `freshet run` up there?" in told["error"]
    assert main(asked) == 1
    assert capsys.readouterr().err == f"freshet: {told['error']}\n"


def test_the_commands_that_are_promised() -> None:
    promised = """run; events send; events tail; events import; events export; items import; recommend;
        profile show; users export; users delete; scenarios check; scenarios list; train; evaluate;
        release list; release init; release publish; release promote; replay; doctor; settings; completion"""
    assert {" ".join(path.split()) for path in promised.split(";")} <= set(COMMANDS)


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `freshet completion bash` prints, and a function that asks it as bash does."""
    from services.cli.completion import _SCRIPTS, places

    file = tmp_path_factory.mktemp("completion") / "ask.bash"
    ask = """
ask() {
  COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _freshet
  (( ${#COMPREPLY[@]} == 0 )) || printf '%s\\n' "${COMPREPLY[@]}"
}
ask "$@"
"""
    file.write_text(_SCRIPTS["bash"](places(build_parser())) + ask)
    return file


def completed(script: Path, *words: str) -> list[str]:
    """What bash offers for the last of these words."""
    done = subprocess.run(
        ["bash", "--norc", str(script), "freshet", *words],
        cwd=script.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_bash_completes_commands(bash_script: Path) -> None:
    assert completed(bash_script, "") == list(subcommands(build_parser()))
    assert completed(bash_script, "eve") == ["events"]
    assert completed(bash_script, "release", "pu") == ["publish"]
    assert completed(bash_script, "recommend", "events", "") == [], "a user of that name is no command"


def test_bash_completes_flags_and_their_values(bash_script: Path) -> None:
    assert completed(bash_script, "recommend", "ada", "--url", "x", "--d") == ["--diversity"]
    assert completed(bash_script, "events", "import", "--format", "") == ["csv", "tsv", "ndjson", "parquet"]
    assert completed(bash_script, "completion", "f") == ["fish"]
    assert completed(bash_script, "recommend", "--url", "") == []
    for path, command in COMMANDS.items():
        flags = [name for action in command._actions for name in action.option_strings]
        assert completed(bash_script, *path.split(), "-") == flags


def test_bash_completes_files_where_files_are_due(bash_script: Path) -> None:
    (bash_script.parent / "my shop.csv").write_text("")
    assert completed(bash_script, "items", "import", "my") == ["my shop.csv"]
    assert completed(bash_script, "items", "import", "--rejects", "my") == ["my shop.csv"]
    assert completed(bash_script, "profile", "show", "my") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_script_names_every_command_and_flag(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "@" not in re.sub(r"[$]@|\(@\)", "", script)
    assert main(["completion", shell, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"shell": shell, "script": script}
    for path, command in COMMANDS.items():
        assert path.rsplit(" ", maxsplit=1)[-1] in script
        for action in command._actions:
            for name in action.option_strings:
                assert (name.lstrip("-") if shell == "fish" else name) in script


def test_a_start_loads_nothing_but_the_tree_of_commands() -> None:
    """Else `freshet --help`, and every command before its own work, waits for what it does not use."""
    code = "import sys, services.cli.parser as p; p.build_parser(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"msgspec", "httpx", "rich", "numpy", "asyncio", "services.cli.completion"}


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a Linux device")
@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_full_disk_under_the_output_is_a_sentence(flags: list[str]) -> None:
    command = [sys.executable, "-m", "services.cli", "settings", *flags]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1, done.stderr
    assert "No space left on device; make room" in done.stderr
