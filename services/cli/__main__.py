"""The `freshet` command: chooses what to do, and turns every failure into a sentence and an exit status."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import cast

from services.cli.failure import EXIT_FAILED, EXIT_INTERRUPTED, CommandError
from services.cli.parser import build_parser
from services.cli.usage import error_line

# What `freshet run` does without, so that it starts on a laptop in seconds.
TRAINER_MODULES = frozenset({"jax", "jaxlib", "matplotlib", "optax"})

_DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; answers the exit status."""
    chosen = build_parser().parse_args(arguments)
    as_json = bool(getattr(chosen, "as_json", False))
    module, name = chosen.handler.split(":")
    try:
        handler = cast("Callable[..., int]", getattr(import_module(f"services.cli.{module}"), name))
        status = handler(chosen)
        sys.stdout.flush()  # what cannot be written is told here, not when the interpreter ends
        return status
    except KeyboardInterrupt:
        _say("interrupted", EXIT_INTERRUPTED, as_json)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `freshet … | head`
        _write_no_more()
        return EXIT_FAILED
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            _write_no_more()
            _say(
                f"{error.filename or 'where the output goes'}: {error.strerror}; make room",
                EXIT_FAILED,
                as_json,
            )
            return EXIT_FAILED
        status, sentence = _explain(error)
        if not sentence:
            raise
        _say(sentence, status, as_json)
        return status


def _write_no_more() -> None:
    """What is still in the buffer of standard output would fail once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _explain(error: Exception) -> tuple[int, str]:
    """Exit status and sentence of a failure that a user can mend; no sentence for a fault of ours."""
    if isinstance(error, CommandError):
        return error.exit_status, str(error)
    from services.kernel.release import ReleaseError
    from services.kernel.settings import SettingsError

    if isinstance(error, (SettingsError, ReleaseError)):
        return EXIT_FAILED, str(error)
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("services"):
        extra = "trainer" if (error.name or "").split(".")[0] in TRAINER_MODULES else "local"
        made = ", or make train" if extra == "trainer" else ""
        return (
            EXIT_FAILED,
            f"{error.name} is not installed here; in a clone, pip install -e '.[{extra}]'{made} brings it",
        )
    from services.cli.backend import is_expected

    return EXIT_FAILED, str(error) if is_expected(error) else ""


def _say(sentence: str, exit_status: int, as_json: bool) -> None:
    sys.stderr.write(error_line(sentence, exit_status) if as_json else f"freshet: {sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
