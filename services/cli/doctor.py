"""`freshet doctor`: looks at every part of a deployment, and says what is amiss and what mends it."""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable

from services.cli.backend import backend
from services.cli.doctor_clock import clocks
from services.cli.doctor_items import unlisted_items
from services.cli.doctor_log import lag, log
from services.cli.doctor_memory import memory_findings
from services.cli.doctor_server import scenarios, server
from services.cli.failure import EXIT_FAILED, EXIT_OK, EXIT_PARTIAL
from services.cli.findings import Finding, Level, Patient
from services.cli.output import print_json, print_line
from services.kernel.release import NoReleaseError, ReleaseError
from services.local.settings import RunSettings
from services.log.open import open_log
from services.log.protocol import LogError
from services.release.files import open_release
from services.release.source import ReleaseSource
from services.store.aggregates import AggregateReader
from services.store.catalogue import CatalogueReader
from services.store.connection import connect
from services.store.errors import StoreError
from services.store.meta import MetaStore

_CHECK_TIMEOUT_S = 10.0
_UNKNOWN_WARN_SHARE = 0.05
_SAMPLED_ITEMS = 200
_COLOURS = {"ok": "\x1b[32m", "warn": "\x1b[33m", "fail": "\x1b[31m"}


def doctor(arguments: argparse.Namespace) -> int:
    """Report every finding; the exit status is 1 when something fails, 3 when something needs attention."""
    with backend() as settings:
        findings = asyncio.run(_examine(settings))
    if arguments.as_json:
        print_json({"findings": findings, "worst": _worst(findings)})
    else:
        for finding in findings:
            print_line(_line(finding))
    return {"ok": EXIT_OK, "warn": EXIT_PARTIAL, "fail": EXIT_FAILED}[_worst(findings)]


def _worst(findings: list[Finding]) -> Level:
    levels: tuple[Level, ...] = ("fail", "warn", "ok")
    return next(level for level in levels if any(f.level == level for f in findings) or level == "ok")


def _line(finding: Finding) -> str:
    mark = f"{finding.level:<4}"
    if sys.stdout.isatty():
        mark = f"{_COLOURS[finding.level]}{mark}\x1b[0m"
    mend = f"\n     → {finding.mend}" if finding.mend else ""
    return f"{mark} {finding.part}: {finding.text}{mend}"


async def _examine(settings: RunSettings) -> list[Finding]:
    patient = Patient(settings, open_log(settings), connect(settings))
    findings: list[Finding] = []
    try:
        for part, check in _CHECKS.items():
            _add(findings, await _guarded(part, check, patient))
    finally:
        await patient.connection.close()
        await patient.log.close()
    return findings


async def _guarded(
    part: str, check: Callable[[Patient], AsyncIterator[Finding]], patient: Patient
) -> list[Finding]:
    """What a check finds, and what stopped it, if anything did."""
    found: list[Finding] = []

    async def collect() -> None:
        async for finding in check(patient):
            found.append(finding)  # noqa: PERF401 - what came before a failure stays

    try:
        await asyncio.wait_for(collect(), _CHECK_TIMEOUT_S)
    except TimeoutError:
        found.append(
            Finding("fail", part, f"no answer within {_CHECK_TIMEOUT_S:.0f} s", _REACH.get(part, ""))
        )
    except (StoreError, LogError, ReleaseError) as error:
        kind = next(name for name, kinds in _KINDS.items() if isinstance(error, kinds))
        found.append(Finding("fail", part, str(error), _REACH[kind]))
    return found


def _add(findings: list[Finding], more: list[Finding]) -> None:
    """A part that is down stops several checks: the first one says why, the others name it."""
    for finding in more:
        same = next((one for one in findings if finding.level == "fail" and one.text == finding.text), None)
        if same is not None:
            finding.text, finding.mend = f"not looked at to the end, because of {same.part}", same.mend
        findings.append(finding)


async def _settings(patient: Patient) -> AsyncIterator[Finding]:
    settings = patient.settings
    open_to_all = settings.host not in {"127.0.0.1", "localhost", "::1"} and not settings.key_set()
    if open_to_all:
        yield Finding("warn", "settings", f"{settings.host} without keys", "set FRESHET_KEYS")
    else:
        yield Finding(
            "ok",
            "settings",
            f"namespace {settings.namespace}, log {settings.log_url.split('@')[-1]}{_spoken(settings)}",
        )
    told_to_all = settings.kafka_sasl_mechanism in {"PLAIN", "OAUTHBEARER"}
    if told_to_all and settings.kafka_security_protocol == "SASL_PLAINTEXT":
        what = "token" if settings.kafka_sasl_mechanism == "OAUTHBEARER" else "password"
        mend = "FRESHET_KAFKA_SECURITY_PROTOCOL=SASL_SSL, and a listener that speaks it"
        yield Finding("warn", "settings", f"Kafka's {what} crosses the network unencrypted", mend)


def _spoken(settings: RunSettings) -> str:
    """How Kafka is spoken to, and as whom; nothing for other logs."""
    if not settings.log_url.startswith("kafka:"):
        return ""
    who = f" as {settings.kafka_username}" if settings.kafka_username else ""
    by = f" by {settings.kafka_sasl_mechanism}" if settings.kafka_sasl_mechanism else ""
    return f" over {settings.kafka_security_protocol}{who}{by}"


async def _store(patient: Patient) -> AsyncIterator[Finding]:
    warnings = await patient.connection.check()
    for warning in warnings:
        yield Finding("warn", "store", warning, "ask whoever runs it; docs/OPERATIONS.md")
    for finding in memory_findings(await patient.connection.memory()):
        yield finding
    patient.meta = await MetaStore(patient.connection).read()
    if patient.meta is None:
        yield Finding(
            "warn", "store", "empty", "start the profiler; if this store held data, run `freshet replay`"
        )
        return
    space = await MetaStore(patient.connection).read_space()
    told = f"space {space.name} (epoch {space.space_epoch}, d {space.d})" if space else "no vector space yet"
    yield Finding("ok", "store", f"{patient.meta.store_id[:12]}, data epoch {patient.meta.epoch}, {told}")


async def _release(patient: Patient) -> AsyncIterator[Finding]:
    settings = patient.settings
    try:
        directory = await asyncio.to_thread(
            lambda: ReleaseSource(settings.release_url, settings.cache_dir).live()
        )
        manifest = (await asyncio.to_thread(open_release, directory)).manifest
    except NoReleaseError as error:
        yield Finding("warn", "release", str(error), "freshet release init")
        return
    yield Finding("ok", "release", f"{manifest.name}, {manifest.items:,} items")
    if patient.meta is None:
        return
    space = await MetaStore(patient.connection).read_space()
    if space is not None and space.name != manifest.space.name:
        yield Finding(
            "warn",
            "release",
            f"profiles are written in space {space.name}, the live release is in {manifest.space.name}",
            "profiles follow as their users come back; if this stays, restart the profiler",
        )


async def _catalogue(patient: Patient) -> AsyncIterator[Finding]:
    if patient.meta is None:
        return
    reader = CatalogueReader(patient.connection)
    count = await reader.count(patient.meta.epoch)
    if count:
        yield Finding("ok", "catalogue", f"{count:,} items")
        async for finding in unlisted_items(patient, patient.meta.epoch):
            yield finding
    else:
        yield Finding("warn", "catalogue", "empty", "freshet items import FILE")
    popular = await AggregateReader(patient.connection).popular(
        patient.meta.epoch, patient.meta.partitions, _SAMPLED_ITEMS
    )
    keys = [int(key) for key in popular.items]
    if not keys:
        return
    known = await reader.item_ids(patient.meta.epoch, keys)
    share = 1 - len(known) / len(keys)
    told = f"{len(known)} of the {len(keys)} most popular items are in it"
    if share > _UNKNOWN_WARN_SHARE:
        mend = "import the catalogue, or check that events and items spell ids alike"
        yield Finding("warn", "catalogue", told, mend)
    else:
        yield Finding("ok", "catalogue", told)


_CHECKS: dict[str, Callable[[Patient], AsyncIterator[Finding]]] = {
    "settings": _settings,
    "server": server,
    "scenarios": scenarios,
    "log": log,
    "store": _store,
    "profiler": lag,
    "release": _release,
    "catalogue": _catalogue,
    "clock": clocks,
}
_REACH = {
    "log": "see that it runs, and that FRESHET_LOG_URL leads to it",
    "store": "see that it runs, and that FRESHET_STORE_URL leads to it",
    "release": "`freshet release list` shows what is there, `freshet release promote NAME` makes one live; "
    "FRESHET_RELEASE_URL names the place",
    "profiler": "log and store answer slowly: look at their load",
    "catalogue": "log and store answer slowly: look at their load",
    "clock": "log and store answer slowly: look at their load",
}
_KINDS = {"log": LogError, "store": StoreError, "release": ReleaseError}
