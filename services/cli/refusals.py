"""The file of rows that did not get in: one JSON object a line with row, code, error."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from services.cli.failure import CommandError
from services.cli.lanes import Refusal


class RefusalFile:
    """Appends to a file that begins with `kept_bytes` of an earlier run; made when the first row comes."""

    def __init__(self, path: Path, kept_bytes: int = 0) -> None:
        self.path = path
        self.size_bytes = kept_bytes
        self._file: BinaryIO | None = None

    def add(self, refusals: Sequence[Refusal]) -> None:
        """Write these rows; in the file system when this returns. Rows count from 1, as people do.

        Raises CommandError where there can be no such file.
        """
        if not refusals:
            return
        if self._file is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self._file = self.path.open("ab")
            except OSError as error:
                raise CommandError(
                    f"--rejects: {self.path} cannot be written ({error.strerror}); name another file"
                ) from None
            # Lines after the last checkpoint come again; a file of another name begins empty.
            self._file.truncate(min(self.size_bytes, self._file.tell()))
        for refusal in refusals:
            line = {"row": refusal.row + 1, "code": refusal.code, "error": refusal.error}
            self._file.write(msgspec.json.encode(line) + b"\n")
        self._file.flush()
        self.size_bytes = self._file.tell()

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
