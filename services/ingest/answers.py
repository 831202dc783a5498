"""What a write answers: 202, 422 when nothing could be accepted, 503 when the log did not do its part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from starlette.responses import Response

from services.http.answers import json_answer, problem_answer
from services.ingest.intake import Intake, Refusal
from services.kernel.problem import Problem
from services.log.protocol import Append, LogError, LogFullError, RecordTooLargeError

_RETRY: Final = "send the same again, with the same ids"


def answer_list(intake: Intake, appends: Sequence[Append], id_name: str, is_list: bool) -> Response:
    """The answer to a request of any number of entries. `id_name` is event_id or item_id.

    202 with what was accepted and what was refused; 422 when everything was refused for what it is; 503 with
    the outcome of every entry when the log failed for any (a retry with the same ids is safe).
    """
    failure = answer_failure(intake, appends, id_name)
    if failure is not None:
        return failure
    refused = all_refused(intake, appends)
    accepted = [
        (entry_id, str(append.position))
        for entry_id, append in zip(intake.ids, appends, strict=True)
        if append.position is not None
    ]
    if not accepted:
        return _nothing_accepted(refused, id_name, is_list)
    return json_answer(
        {
            "accepted": len(accepted),
            f"{id_name}s": [entry_id for entry_id, _ in accepted],
            "positions": [position for _, position in accepted],
            "rejected": _rejected(refused, id_name),
        },
        202,
    )


def answer_failure(intake: Intake, appends: Sequence[Append], id_name: str) -> Response | None:
    """503 with the outcome of every entry where the log failed for any; None where it did not."""
    failed = _first_failure(appends)
    return None if failed is None else _failure(intake, appends, failed, id_name)


def all_refused(intake: Intake, appends: Sequence[Append]) -> list[Refusal]:
    """What was refused for what it is, by ingest or by the log, in the request's order."""
    return sorted([*intake.refused, *_too_large(intake, appends)])


def answer_one(entry_id: str, append: Append, id_name: str) -> Response:
    """The answer to a request about one thing named in its path."""
    if append.position is not None:
        return json_answer({id_name: entry_id, "position": str(append.position)}, 202)
    error = append.error or LogError("the event log gave no outcome", unknown=True)
    outcome = "unknown" if error.unknown else "rejected"
    if isinstance(error, RecordTooLargeError):
        return problem_answer(Problem(422, _code(error), str(error)))
    return problem_answer(
        Problem(
            503,
            _code(error),
            f"{error}; send the same again",
            retry_after_s=error.retry_after_s,
            extra={id_name: entry_id, "outcome": outcome},
        )
    )


def _first_failure(appends: Sequence[Append]) -> LogError | None:
    """The failure to report: an unknown outcome before a refusal by the log."""
    failures = [
        append.error or LogError("the event log gave no outcome", unknown=True)
        for append in appends
        if append.position is None and not isinstance(append.error, RecordTooLargeError)
    ]
    return max(failures, key=lambda error: error.unknown, default=None)


def _too_large(intake: Intake, appends: Sequence[Append]) -> list[Refusal]:
    return [
        Refusal(index, entry_id, _code(append.error), str(append.error))
        for index, entry_id, append in zip(intake.indexes, intake.ids, appends, strict=True)
        if isinstance(append.error, RecordTooLargeError)
    ]


def _failure(intake: Intake, appends: Sequence[Append], failed: LogError, id_name: str) -> Response:
    """503 with the outcome of every entry, in the request's order."""
    outcomes: list[dict[str, Any]] = [
        {
            "index": refusal.index,
            id_name: refusal.id,
            "outcome": "rejected",
            "code": refusal.code,
            "error": refusal.error,
        }
        for refusal in intake.refused
    ]
    for index, entry_id, append in zip(intake.indexes, intake.ids, appends, strict=True):
        outcome: dict[str, Any] = {"index": index, id_name: entry_id}
        if append.position is not None:
            outcome |= {"outcome": "accepted", "position": str(append.position)}
        else:
            error = append.error or failed
            outcome |= {"outcome": "unknown" if error.unknown else "rejected", "code": _code(error)}
        outcomes.append(outcome)
    outcomes.sort(key=lambda outcome: outcome["index"])
    return problem_answer(
        Problem(
            503,
            _code(failed),
            f"{failed}; {_RETRY}",
            retry_after_s=failed.retry_after_s,
            extra={"outcomes": outcomes},
        )
    )


def _nothing_accepted(refused: Sequence[Refusal], id_name: str, is_list: bool) -> Response:
    if not refused:
        return problem_answer(Problem(422, "empty_list", "the list is empty; send at least one entry"))
    first = refused[0]
    extra = {"rejected": _rejected(refused, id_name)}
    if not is_list:
        return problem_answer(Problem(422, first.code, first.error, extra=extra))
    detail = f"none of the {len(refused)} entries could be accepted; the first: {first.error}"
    return problem_answer(Problem(422, "nothing_accepted", detail, extra=extra))


def _rejected(refused: Sequence[Refusal], id_name: str) -> list[dict[str, Any]]:
    return [
        {"index": refusal.index, id_name: refusal.id, "code": refusal.code, "error": refusal.error}
        for refusal in refused
    ]


def _code(error: LogError | None) -> str:
    if isinstance(error, RecordTooLargeError):
        return "record_too_large"
    if isinstance(error, LogFullError):
        return "log_full"
    if error is not None and error.unknown:
        return "log_timeout"
    return "log_unavailable"
