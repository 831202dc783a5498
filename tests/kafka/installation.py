"""Apache Kafka's jars by Maven, a class-data archive and a formatted directory, once per user and version.

They lie in ~/.cache/freshet-kafka-<version> (XDG_CACHE_HOME is honoured). A lock keeps two runs apart; the
stamp is written last, so that an interrupted set-up is done again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
PROPERTIES = HERE / "server.properties"
# Any: the directory is copied, and one broker knows no other.
CLUSTER_ID = "AAAAAAAAAAAAAAAAAAAAAA"
_JAVA_FLAGS = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx256m")
_MAVEN_TIMEOUT_S = 600.0
_FORMAT_TIMEOUT_S = 120.0


class KafkaMissingError(Exception):
    """There is no broker to be had on this machine; the message says how to get one."""


@dataclass(frozen=True)
class Installation:
    """Where the jars, the archive and the formatted directory lie."""

    root: Path

    @property
    def jars(self) -> Path:
        """Kafka and what it needs."""
        return self.root / "jars"

    @property
    def archive(self) -> Path:
        """Class data that the JVM maps instead of loading classes one by one."""
        return self.root / "kafka.jsa"

    @property
    def template(self) -> Path:
        """A formatted log directory, to be copied."""
        return self.root / "formatted"

    def secured(self, scram_users: Sequence[str]) -> Path:
        """A formatted directory that knows these users for SCRAM, made on the first call."""
        name = hashlib.sha256("\n".join(scram_users).encode()).hexdigest()[:12]
        made = self.root / f"formatted-{name}"
        with (self.root / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not made.exists():
                fresh = self.root / f"{made.name}.new"
                _format(self, fresh, [part for user in scram_users for part in ("--add-scram", user)])
                fresh.rename(made)
        return made

    def java(self, *arguments: str, archive_flag: str | None = None) -> list[str]:
        """A JVM on Kafka's jars."""
        flags = [archive_flag] if archive_flag else [f"-XX:SharedArchiveFile={self.archive}", "-Xlog:disable"]
        # Sorted: the archive is good for exactly this class path.
        jars = ":".join(sorted(str(jar) for jar in self.jars.glob("*.jar")))
        return ["java", *_JAVA_FLAGS, *flags, "-cp", jars, *arguments]


def broker_arguments(directory: Path, port: int, more: Mapping[str, str] | None = None) -> list[str]:
    """Main class and arguments of a broker on `port`, its controller on `port` + 1; `more` goes over them."""
    overrides = {
        "log.dirs": str(directory),
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{port + 1}",
        "controller.quorum.voters": f"1@127.0.0.1:{port + 1}",
        **(more or {}),
    }
    command = ["kafka.Kafka", str(PROPERTIES)]
    for name, value in overrides.items():
        command += ["--override", f"{name}={value}"]
    return command


def install(warm_up: Callable[[Installation], None]) -> Installation:
    """The installation, made on the first call, when `warm_up` runs a broker that dumps the archive.

    Raises KafkaMissingError.
    """
    _need_java()
    version = re.findall(r"<version>([\d.]+)</version>", (HERE / "pom.xml").read_text())[1]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = Installation(cache / f"freshet-kafka-{version}")
    found.root.mkdir(parents=True, exist_ok=True)
    stamp = found.root / "complete"
    with (found.root / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            _fetch_jars(found)
            _format(found, found.template)
            warm_up(found)
            stamp.touch()
    return found


def _need_java() -> None:
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    if missing:
        raise KafkaMissingError(
            f"a real Kafka broker needs {' and '.join(missing)}, which this machine lacks (Debian, Ubuntu: "
            "apt-get install openjdk-17-jre-headless maven)"
        )
    # A java that cannot run (macOS ships such a stub) is no java.
    if subprocess.run(["java", "-version"], capture_output=True, check=False).returncode:
        raise KafkaMissingError("a real Kafka broker needs Java 17 or newer; `java -version` fails here")


def _fetch_jars(found: Installation) -> None:
    shutil.rmtree(found.jars, ignore_errors=True)
    command = ["mvn", "-B", "-q", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={found.jars}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MAVEN_TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise KafkaMissingError(f"Maven did not fetch Kafka's jars within {_MAVEN_TIMEOUT_S:g} s") from None
    if done.returncode:
        raise KafkaMissingError(f"Maven could not fetch Kafka's jars: {(done.stdout + done.stderr)[-2000:]}")


def _format(found: Installation, directory: Path, more: Sequence[str] = ()) -> None:
    shutil.rmtree(directory, ignore_errors=True)
    properties = found.root / "format.properties"
    text = PROPERTIES.read_text()
    properties.write_text(re.sub(r"(?m)^log\.dirs=.*$", f"log.dirs={directory}", text))
    command = found.java(
        "kafka.tools.StorageTool", "format", "-c", str(properties), "-t", CLUSTER_ID, *more,
        archive_flag="-Xshare:auto",
    )  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_TIMEOUT_S, check=False)
    if done.returncode:
        raise KafkaMissingError(
            f"Kafka's directory could not be formatted: {(done.stdout + done.stderr)[-2000:]}"
        )
