"""Runs a graph before anybody else does, and says what in its answers breaks the contract.

Names, dtypes and shapes can be read from a graph; whether padding is masked, whether a row of a batch is
answered as if it were alone, or what an unknown item does, shows only when it runs.

1. Every user of `probe_cases` alone: does it run, and are the outputs what the contract says?
2. The same once more: the same answer?
3. With more padding on the left, as beside somebody with a longer history: the same answer?
4. Together, in batches of 2 and 5: does each row get what it got alone?
5. What the export often gets wrong without breaking anything: unknown items, own event types, constants.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from services.kernel.bank import RING_CAPACITY
from services.kernel.release import INPUTS, OUTPUTS, ReleaseError
from services.ranking.inputs import SEEN_MAX
from services.ranking.model import OnnxModel
from services.ranking.probe_cases import Case, cases
from services.ranking.probe_compare import difference

Arrays = dict[str, NDArray[Any]]

BATCHES: Final = (
    (1, 5),
    (0, 1, 3, 6, 5),
)  # places in `cases`: 2 and 5 users, short beside long, nobody first
MORE_PADDING: Final = (1, 5, RING_CAPACITY)  # places more on the left, as far as a history may be long
OWN_TYPE: Final = 255  # the largest number that FRESHET_EVENT_TYPES may give a type
# The model's share (0.8) of the default deadline of 80 ms; slower answers go out without the model.
RUN_MAX_MS: Final = 64.0
TIMED_RUNS: Final = 3
ERROR_MAX_CHARS: Final = 300  # a runtime's message names the node first, then quotes its whole stack
_PADDING: Final = {"history_items": -1, "seen_items": -1}  # all other histories are padded with 0 or false


class Finding(NamedTuple):
    """One breach: where (input, output or graph), for which user, what was expected, what was found.

    `fatal` refuses the release; the others are advice.
    """

    place: str
    case: str
    expected: str
    found: str
    fatal: bool = True

    def __str__(self) -> str:
        return f"{self.place}, {self.case}: expected {self.expected}; found {self.found}"


def probe(model: OnnxModel, *, table: bool = True) -> list[Finding]:
    """Everything that is wrong with the answers of a graph, each kind once, the fatal ones first.

    Takes some thirty runs of one user and a few of batches. `model` may be one that was not warmed up.
    Without `table` the release's id table is not the graph's, and its length says nothing about indices.
    """
    return _Probe(model, table).findings()


def require_sound(model: OnnxModel) -> list[Finding]:
    """Probe, and answer the advice alone. Raises ReleaseError that lists all fatal findings."""
    return refuse(model.release.name, probe(model))


def refuse(name: str, found: list[Finding]) -> list[Finding]:
    """The advice among findings. Raises ReleaseError that lists the fatal ones."""
    fatal = [finding for finding in found if finding.fatal]
    if fatal:
        listed = "".join(f"\n  - {finding}" for finding in fatal)
        raise ReleaseError(f"the graph of {name} breaks the contract when it runs:{listed}")
    return found


class _Probe:
    def __init__(self, model: OnnxModel, table: bool) -> None:
        self._model = model
        self._table = table
        self._items = model.release.manifest.items
        self._cases = cases(model.release)
        self._found: dict[tuple[str, str], Finding] = {}
        self._times: dict[tuple[str, str], int] = {}
        self._breaches = 0
        free = {spec.name for spec in model.signature.inputs if not isinstance(spec.shape[-1], int)}
        self._paddable = [name for name in free if INPUTS[name].shape[-1] in {"L", "M"}]

    def findings(self) -> list[Finding]:
        alone = [self._alone(case) for case in self._cases]  # 1, 2, 3
        for batch in BATCHES:  # 4
            self._together([self._cases[place] for place in batch], [alone[place] for place in batch])
        self._oddities(alone)  # 5
        told = [self._with_count(key, finding) for key, finding in self._found.items()]
        return sorted(told, key=lambda finding: not finding.fatal)

    def _with_count(self, key: tuple[str, str], finding: Finding) -> Finding:
        more = self._times[key] - 1
        return finding._replace(case=f"{finding.case} (and {more} more)") if more else finding

    def _add(self, place: str, case: str, expected: str, found: str, *, fatal: bool = True) -> None:
        key = (place, expected)
        self._breaches += 1
        self._times[key] = self._times.get(key, 0) + 1
        self._found.setdefault(key, Finding(place, case, expected, found, fatal))

    def _run(self, feeds: Arrays, case: str, *, fatal: bool = True) -> Arrays | None:
        """The outputs, or None where the runtime gives an error, which is noted."""
        try:
            return self._model.outputs(feeds)
        except Exception as error:  # the runtime has a class of its own for each failure
            given = ", ".join(f"{name} {list(array.shape)}" for name, array in sorted(feeds.items()))
            told = " ".join(str(error).split())[:ERROR_MAX_CHARS]
            self._add(
                "graph", case, "an answer", f"an error with {given}: {told}{self._hint(told)}", fatal=fatal
            )
            return None

    def _hint(self, error: str) -> str:
        if "out of data bounds" in error or "out of bounds" in error.lower():
            return (
                f" (the id table has {self._items} items, indices 0 to {self._items - 1}; unknown and "
                "padding are -1: is the graph's embedding as long, and has -1 a row of its own?)"
            )
        if "reshape" in error.lower() or "mismatch" in error.lower() or "broadcast" in error.lower():
            return " (a size of the example at export was taken for a constant: make B and L dynamic there)"
        return ""

    def _alone(self, case: Case) -> Arrays | None:
        feeds = self._model.feeds([case.question])
        out = self._run(feeds, case.text)  # 1
        if out is None or not self._check(out, [case.text]):
            return None
        again = self._run(feeds, case.text)  # 2
        if again is not None and (told := difference(out, again, 0)):
            self._add(
                "graph", case.text, "the same answer twice", f"{told} (was it exported in training mode?)"
            )
            return out
        for more in MORE_PADDING:  # 3
            padded = self._padded(feeds, more)
            if padded is None:
                break
            text = f"{case.text} with {more} more places of padding on the left"
            other = self._run(padded, text)
            if other is not None and self._check(other, [text]) and (told := difference(out, other, 0)):
                self._add(
                    "inputs " + ", ".join(sorted(self._paddable)),
                    text,
                    "the answer that it gives without them",
                    f"{told} (count positions from the newest, [-1], and mask what history_mask hides)",
                )
        return out

    def _padded(self, feeds: Arrays, more: int) -> Arrays | None:
        """The same user with longer histories, as far as they may be; None where nothing is free."""
        made = dict(feeds)
        for name in self._paddable:
            array = feeds[name]
            most = SEEN_MAX if name == "seen_items" else RING_CAPACITY
            width = max(0, min(more, most - array.shape[1]))
            made[name] = np.pad(array, ((0, 0), (width, 0)), constant_values=_PADDING.get(name, 0))
        return made if any(made[name].shape != feeds[name].shape for name in feeds) else None

    def _together(self, batch: Sequence[Case], alone: Sequence[Arrays | None]) -> None:
        text = f"a batch of {len(batch)}"
        out = self._run(self._model.feeds([case.question for case in batch]), text)
        if out is None or not self._check(out, [f"{case.text}, in {text}" for case in batch]):
            return
        for row, (case, single) in enumerate(zip(batch, alone, strict=True)):
            if single is not None and (told := difference(single, out, row)):
                self._add(
                    "graph",
                    f"{case.text}, row {row} of {text}",
                    "the answer that it gives alone",
                    f"{told} (rows of a batch must not see each other, nor each other's padding)",
                )

    def _check(self, out: Arrays, texts: Sequence[str]) -> bool:
        """Shapes, dtypes and numbers of one run, `texts` one a row. False: no use comparing it."""
        before = self._breaches
        for name, array in out.items():
            expected = OUTPUTS[name]
            sizes = {"B": len(texts), "d": self._model.release.space.d}
            shape = [sizes.get(str(size), size) for size in expected.shape]
            if "scores" in out and shape[-1] == "k" and len(out["scores"].shape) == len(shape):
                shape[-1] = max(1, out["scores"].shape[-1])
            where = f"output {name!r}"
            if array.dtype.name != expected.dtype:
                self._add(where, texts[0], f"dtype {expected.dtype}", array.dtype.name)
            elif list(array.shape) != shape:
                rows = " (one row a user)" if array.shape[:1] != (len(texts),) else ""
                self._add(where, texts[0], f"shape {shape}{rows}", f"shape {list(array.shape)}")
        if self._breaches > before:
            return False
        for row, text in enumerate(texts):
            self._check_row(out, row, text)
        return self._breaches == before

    def _check_row(self, out: Arrays, row: int, text: str) -> None:
        nothing = " (such as of a softmax over masked places alone, or a mean of nothing: 0 / 0)"
        if "user_vector" in out and not np.isfinite(out["user_vector"][row]).all():
            self._add("output 'user_vector'", text, "finite numbers", f"NaN or infinity{nothing}")
        if "scores" not in out:
            return
        scores, indices = out["scores"][row], out["item_indices"][row]
        if np.isnan(scores).any() or np.isposinf(scores).any():
            self._add(
                "output 'scores'", text, "finite numbers, or -inf for none", f"NaN or infinity{nothing}"
            )
            return
        with np.errstate(invalid="ignore"):  # -inf after -inf
            rises = np.flatnonzero(np.diff(scores) > 0)
        if len(rises):
            at = int(rises[0])
            told = f"{scores[at]:.4g} before {scores[at + 1]:.4g} at place {at}"
            self._add("output 'scores'", text, "falling scores, the best first", told)
        most = self._items - 1 if self._table else int(indices.max())
        if indices.min() < -1 or indices.max() > most:
            worst = indices.max() if indices.max() > most else indices.min()
            self._add(
                "output 'item_indices'",
                text,
                f"-1 to {self._items - 1} (the id table has {self._items} items)",
                f"{worst} (are indices of the graph one off, or is the id table another's?)",
            )
        real = indices[indices >= 0]
        if len(np.unique(real)) < len(real):
            values, counts = np.unique(real, return_counts=True)
            self._add("output 'item_indices'", text, "each item once", f"{values[counts.argmax()]} twice")

    def _oddities(self, alone: Sequence[Arrays | None]) -> None:
        known = [
            (case, out)
            for case, out in zip(self._cases, alone, strict=True)
            if out is not None and case.known == case.events > 0
        ]
        if not known:
            return
        self._is_constant([out for _, out in known])
        feeds = self._model.feeds([self._cases[1].question])  # one event
        self._unknown(feeds)
        if "history_types" in feeds:
            case = f"an event type of your own, number {OWN_TYPE}"
            self._run(
                {**feeds, "history_types": np.full_like(feeds["history_types"], OWN_TYPE)}, case, fatal=False
            )
        self._is_slow()

    def _is_constant(self, outs: Sequence[Arrays]) -> None:
        if self._items > 1 and not any(difference(outs[0], out, 0) for out in outs[1:]):
            self._add(
                "graph",
                f"{len(outs)} different histories",
                "different answers",
                "one answer for all of them (was the example of the export taken for a constant?)",
                fatal=False,
            )

    def _unknown(self, feeds: Arrays) -> None:
        """An ONNX Gather takes -1 for the last row and -2 for the one before: an unknown item becomes one."""
        if "history_items" not in feeds or self._items < 3:
            return
        answers: dict[int, Arrays] = {}
        for index in (-1, -2, 0, 1, self._items - 1, self._items - 2):
            items = feeds["history_items"].copy()
            items[:, -1] = index
            try:
                answers[index] = self._model.outputs({**feeds, "history_items": items})
            except Exception:
                if index != -2:  # which is in no contract
                    return  # told by other cases
        unknown, last, first = answers[-1], answers[self._items - 1], answers[0]
        expected, case = "an answer of its own", "one event with an unknown item (-1)"
        advice = "give the embedding one row more, the first, and look up index + 1"
        wraps = -2 in answers and not difference(answers[-2], answers[self._items - 2], 0)
        if wraps and not difference(unknown, last, 0) and difference(unknown, answers[self._items - 2], 0):
            told = (
                f"that of item {self._items - 1}, the last one: a Gather takes -1 for its last row ({advice})"
            )
            self._add("input 'history_items'", case, expected, told)
        elif not difference(unknown, first, 0) and difference(unknown, answers[1], 0):
            told = f"that of item 0 (was -1 clamped to 0? {advice})"
            self._add("input 'history_items'", case, expected, told, fatal=False)

    def _is_slow(self) -> None:
        case = self._cases[5]
        feeds = self._model.feeds([case.question])
        times_ms = []
        for _ in range(TIMED_RUNS):
            started_s = time.perf_counter()
            self._model.outputs(feeds)
            times_ms.append((time.perf_counter() - started_s) * 1000)
        if min(times_ms) > RUN_MAX_MS:
            self._add(
                "graph",
                case.text,
                f"an answer within {RUN_MAX_MS:.0f} ms, the model's part of a deadline of 80 ms",
                f"{min(times_ms):.0f} ms on this machine; later answers are made of the last items alone",
                fatal=False,
            )
