"""What `freshet doctor` asks the server: whether it is ready, takes the key, and uses its scenario file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from services.cli.client import FreshetClient, default_key, default_url
from services.cli.failure import CommandError
from services.cli.findings import Finding, Patient


async def server(_patient: Patient) -> AsyncIterator[Finding]:
    """Is one up here? In production, where doctor may run elsewhere, its absence is no failure."""
    url = default_url()
    try:
        async with FreshetClient(url, "") as client:
            answer = await client.call("GET", "/readyz")
    except CommandError:
        mend = "start it: freshet run; FRESHET_HOST and FRESHET_PORT name another place"
        yield Finding("warn", "server", f"nobody answers at {url}", mend)
        return
    if answer.ok and isinstance(answer.body, dict):
        yield Finding("ok", "server", f"{url} is ready")
    elif answer.status == 503:
        mend = "what is not ready is named; the findings below say more about it"
        yield Finding("fail", "server", f"{url} is not ready: {answer.detail()}", mend)
    else:
        mend = "something else has this port? FRESHET_PORT names another one"
        yield Finding("warn", "server", f"{url} is no Freshet ({answer.status} on /readyz)", mend)


async def scenarios(patient: Patient) -> AsyncIterator[Finding]:
    """Does the recommender use its scenario file as it is now? Nothing is said where there is none."""
    url = default_url()
    try:
        async with FreshetClient(url, default_key()) as client:
            if (await client.call("GET", "/readyz")).status not in {200, 503}:
                return
            answer = await client.call("GET", "/scenarios")
    except CommandError as error:
        if "refuses the key" in str(error):
            mend = "set FRESHET_KEYS here to what the server has, and restart the server after a change"
            yield Finding("warn", "server", f"{url} refuses the key of this environment", mend)
        elif path := patient.settings.scenarios:  # why a recommender does not start, maybe
            yield _file_finding(path)
        return
    if answer.ok and isinstance(answer.body, dict):
        for finding in scenario_findings(answer.body):
            yield finding


def _file_finding(path: str) -> Finding:
    """The file of FRESHET_SCENARIOS itself, where nobody answers who has read it."""
    from services.ranking.scenario_file import read_file

    try:
        read_file(Path(path).read_bytes())
    except (OSError, ValueError) as error:
        reason = f"cannot be read: {error.strerror}" if isinstance(error, OSError) else f"is wrong: {error}"
        check = f"freshet scenarios check {path} names every mistake; without a mend no recommender starts"
        return Finding("fail", "scenarios", f"{path} {reason}", check)
    return Finding("ok", "scenarios", f"{path} has no mistake")


def scenario_findings(body: dict[str, Any]) -> list[Finding]:
    """What GET /scenarios tells about the file behind it."""
    file = body.get("file")
    if not isinstance(file, dict):
        return []
    path = str(file["path"])
    check = f"freshet scenarios check {path} names every mistake with its line"
    if file.get("problem") is not None:
        told = f"{path} as it is now is not in use, what was read before is: {file['problem']}"
        return [Finding("fail", "scenarios", told, check)]
    warnings = [f"{one['where']}: {one['message']}" for one in body.get("warnings", ())]
    if warnings:
        told = f"{path} is in use, but something is odd: {'; '.join(warnings)}"
        return [Finding("warn", "scenarios", told, check)]
    return [Finding("ok", "scenarios", f"{path}, version {file['version']}")]
