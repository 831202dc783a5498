"""The Kafka log through locked doors, on a real broker: TLS, SASL, access control, what a refusal says."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest_v1
from aiokafka.protocol.api import Request

from services.kernel.settings import SettingsError
from services.log.open import open_log
from services.log.protocol import Draft, LogUnavailableError, Topic
from tests.contract.logs import appended, ends, member, numbered, opened, read, settings_of

# The shared behaviour once more, over SASL_SSL: what depends on how bytes arrive.
from tests.contract.test_log_behaviour import (  # noqa: F401 - collected here again, with our `log_url`
    test_a_cancelled_fetch_loses_nothing,
    test_a_reader_without_a_group_reads_all_and_commits_nothing,
    test_a_record_comes_back_as_it_went,
    test_bounds_and_reading_one_record,
    test_calls_one_after_another_keep_their_order,
    test_positions_follow_the_order_of_drafts_and_the_keys_place,
    test_the_size_bound_is_the_same,
)
from tests.kafka.secured import (
    PASSWORD,
    SESSION_MS,
    STRANGER,
    STRANGER_PASSWORD,
    USER,
    SecuredBroker,
    unsigned_token,
)


@pytest.fixture
def broker(locked_kafka: SecuredBroker) -> SecuredBroker:
    """By its short name."""
    return locked_kafka


@pytest.fixture
def log_url(broker: SecuredBroker, monkeypatch: pytest.MonkeyPatch) -> str:
    """Takes the place of the shared fixture; the settings come from the environment, as in a deployment."""
    for name, value in broker.environment().items():
        monkeypatch.setenv(name, value)
    return broker.sasl_ssl_url


async def there_and_back(url: str, namespace: str, **security: Any) -> None:
    """Topics made, records appended, read by a group and committed."""
    async with opened(url, namespace, log_partitions=1, **security) as (log, producer):
        await appended(producer, numbered(20))
        await producer.ready()
        async with member(log) as consumer:
            records = await read(consumer, 20)
            assert [record.value for record in records] == [b"%d" % number for number in range(20)]
            await consumer.commit(ends(records))


async def refusal(url: str, namespace: str, **security: Any) -> str:
    """What the log says when it does not let us in. It says so soon: nobody waits for a timeout."""
    with pytest.raises(LogUnavailableError) as caught:
        async with asyncio.timeout(8), opened(url, namespace, **security):
            pass
    return str(caught.value)


@pytest.mark.parametrize("mechanism", ["PLAIN", "scram-sha-256"])
def test_sasl_ssl_with_a_password(broker: SecuredBroker, namespace: str, mechanism: str) -> None:
    security = broker.locked(kafka_sasl_mechanism=mechanism)
    asyncio.run(there_and_back(broker.sasl_ssl_url, namespace, **security))


def test_tls_alone(broker: SecuredBroker, namespace: str) -> None:
    security = {"kafka_security_protocol": "SSL", "kafka_ca_file": str(broker.ca_file)}
    asyncio.run(there_and_back(broker.ssl_url, namespace, **security))


def test_a_token_from_a_file_that_is_replaced(broker: SecuredBroker, namespace: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    security = {
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "OAUTHBEARER",
        "kafka_token": f"file:{file}",
    }

    async def scene() -> None:
        assert "FRESHET_KAFKA_TOKEN" in await refusal(broker.oauth_url, namespace, **security)
        file.write_text(unsigned_token(USER, expires_in_s=-1800))
        told = await refusal(broker.oauth_url, namespace, **security)
        assert f"FRESHET_KAFKA_TOKEN=file:{file} was refused" in told
        log = open_log(settings_of(broker.oauth_url, namespace, **security))
        producer = log.producer()
        with pytest.raises(LogUnavailableError, match="refused"):
            await producer.start()
        file.write_text(f"{unsigned_token(USER)}\n")  # the same log gets in as soon as there is a good one
        await producer.start()
        await appended(producer, numbered(5))
        await producer.stop()
        await log.close()
        await there_and_back(broker.oauth_url, f"{namespace}b", **security)

    asyncio.run(scene())


def test_sessions_that_end_while_we_work_are_begun_anew(
    broker: SecuredBroker, namespace: str, tmp_path: Path
) -> None:
    """The client cannot renew a session, so the broker cuts each connection: nobody has to hear of it."""
    file = tmp_path / "token"
    file.write_text(unsigned_token(USER))
    security = {
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "OAUTHBEARER",
        "kafka_token": f"file:{file}",
    }

    async def scene() -> None:
        async with (
            opened(broker.oauth_url, namespace, **security) as (log, producer),
            member(log) as consumer,
        ):
            over_s = time.monotonic() + 2.5 * SESSION_MS / 1000
            values, number = [], 0
            while time.monotonic() < over_s:
                number += 1
                await appended(producer, [Draft(b"k", b"%d" % number)])
                await producer.ready()
                records = await read(consumer, 1)
                values += [record.value for record in records]
                await consumer.commit(ends(records))
            assert values == [b"%d" % n for n in range(1, number + 1)]
            assert await log.bounds(Topic.EVENTS)

    asyncio.run(scene())


def test_a_refusal_names_the_setting_to_mend(broker: SecuredBroker, namespace: str) -> None:
    other_ca = str(broker.ca_file.with_name("other-ca.pem"))
    plain = {"kafka_security_protocol": "PLAINTEXT", "kafka_sasl_mechanism": "", "kafka_username": ""}
    plain |= {"kafka_password": "", "kafka_ca_file": ""}
    open_door = broker.url.replace("127.0.0.1", "localhost")
    cases: list[tuple[str, dict[str, str], list[str]]] = [
        (
            broker.sasl_ssl_url,
            {"kafka_password": "wrong"},
            ["'freshet' was refused", "FRESHET_KAFKA_PASSWORD"],
        ),
        (
            broker.sasl_ssl_url,
            {"kafka_password": "wrong", "kafka_sasl_mechanism": "PLAIN"},
            ["'freshet' was refused", "FRESHET_KAFKA_PASSWORD"],
        ),
        (
            broker.sasl_ssl_url,
            {"kafka_username": "nobody"},
            ["'nobody' was refused", "FRESHET_KAFKA_USERNAME"],
        ),
        (broker.sasl_ssl_url, {"kafka_ca_file": ""}, ["not trusted", "FRESHET_KAFKA_CA_FILE"]),
        (broker.sasl_ssl_url, {"kafka_ca_file": other_ca}, ["not trusted", "FRESHET_KAFKA_CA_FILE"]),
        (
            broker.wrong_name_url,
            {**plain, "kafka_security_protocol": "SSL", "kafka_ca_file": str(broker.ca_file)},
            ["another name", "127.0.0.1", "advertised.listeners"],
        ),
        (broker.sasl_ssl_url, plain, ["hung up", "FRESHET_KAFKA_SECURITY_PROTOCOL than PLAINTEXT"]),
        (broker.oauth_url, plain, ["hung up", "FRESHET_KAFKA_SECURITY_PROTOCOL than PLAINTEXT"]),
        (open_door, {}, ["FRESHET_KAFKA_SECURITY_PROTOCOL"]),
        (
            broker.oauth_url,
            {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_ca_file": ""},
            ["SCRAM-SHA-512", "FRESHET_KAFKA_SASL_MECHANISM"],
        ),
        (
            open_door,
            {"kafka_security_protocol": "SASL_PLAINTEXT", "kafka_ca_file": ""},
            ["no SASL", "FRESHET_KAFKA_SECURITY_PROTOCOL"],
        ),
    ]

    async def scene() -> None:
        for url, changes, told in cases:
            text = await refusal(url, namespace, **broker.locked(**changes))
            assert [part for part in told if part not in text] == [], text
            assert PASSWORD not in text

    asyncio.run(scene())


def test_who_has_no_rights_hears_which_to_grant(broker: SecuredBroker, namespace: str) -> None:
    stranger = broker.locked(kafka_username=STRANGER, kafka_password=STRANGER_PASSWORD)
    topics, groups = 2, 3
    read_right, write_right, describe_right = 3, 4, 8

    async def scene() -> None:
        told = await refusal(broker.sasl_ssl_url, namespace, **stranger)
        assert "'stranger' lacks rights" in told
        assert f"on topics with the prefix {namespace}." in told
        async with opened(broker.sasl_ssl_url, namespace, **broker.locked()) as (_, producer):
            await appended(producer, numbered(3))
        await allow(broker, topics, f"{namespace}.", [read_right, describe_right])
        told = await refusal(broker.sasl_ssl_url, namespace, **stranger)
        assert "'stranger' lacks rights" in told
        assert f"Write on topics with the prefix {namespace}." in told
        await allow(broker, topics, f"{namespace}.events", [write_right])
        async with opened(broker.sasl_ssl_url, namespace, **stranger) as (log, producer):
            await appended(producer, numbered(1))
            with pytest.raises(LogUnavailableError, match=r"lacks rights.*items.*Write"):
                await appended(producer, numbered(1), Topic.ITEMS)
            with pytest.raises(LogUnavailableError, match=r"connecting anew.*lacks rights"):
                await producer.ready()
            async with member(log, None) as reader:
                assert len(await read(reader, 4)) == 4
            with pytest.raises(LogUnavailableError, match=f"Read on consumer groups with.*{namespace}"):
                async with member(log) as consumer:
                    await read(consumer, 4)
            await allow(broker, groups, f"{namespace}.", [read_right])
            async with member(log) as consumer:
                await consumer.commit(ends(await read(consumer, 4)))

    asyncio.run(scene())


async def allow(broker: SecuredBroker, kind: int, prefix: str, operations: list[int]) -> None:
    """Let the stranger do this with everything of that prefix."""

    class CreateAcls(Request[CreateAclsRequest_v1]):  # type: ignore[misc]
        API_KEY = 30

        def build(self, request_struct_class: type[CreateAclsRequest_v1]) -> CreateAclsRequest_v1:
            prefixed, allowed = 4, 3
            who = (f"User:{STRANGER}", "*")
            return request_struct_class(
                [(kind, prefix, prefixed, *who, right, allowed) for right in operations]
            )

    admin = AIOKafkaAdminClient(bootstrap_servers=broker.bootstrap)
    try:
        await admin.start()
        answer = await admin._send_request(CreateAcls())
        assert [code for code, _ in answer.creation_responses] == [0] * len(operations)
    finally:
        await admin.close()


@pytest.mark.parametrize(("text", "told"), [(None, "No such file"), ("no certificate", "no PEM")])
def test_a_ca_file_without_a_ca_is_an_error_at_start(tmp_path: Path, text: str | None, told: str) -> None:
    file = tmp_path / "ca.pem"
    if text is not None:
        file.write_text(text)
    settings = settings_of("kafka://k:9092", "n", kafka_security_protocol="SSL", kafka_ca_file=str(file))
    with pytest.raises(SettingsError, match=f"FRESHET_KAFKA_CA_FILE.*{file}.*{told}"):
        open_log(settings)
