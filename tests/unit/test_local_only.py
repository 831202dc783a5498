"""Who is turned away while there are no keys."""

from __future__ import annotations

import pytest

from services.http.local_only import LocalOnly
from services.kernel.setting_fields import SecretStr
from services.kernel.settings import HttpSettings


def refusal(settings: HttpSettings | None = None, **headers: str) -> str:
    """The code of the refusal; empty when the request may pass."""
    raw = {name.encode(): value.encode("latin-1") for name, value in headers.items()}
    problem = LocalOnly(settings or HttpSettings()).refusal(raw)
    return problem.code if problem is not None else ""


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8080", "127.0.0.1:80", "[::1]:8080", "shop.localhost:1"]
)
def test_this_machine_may_call(host: str) -> None:
    assert refusal(host=host) == ""
    assert refusal(host=host, origin="http://localhost:3000") == ""


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.168.1.7:8080", "[bad", "127.0.0.1.evil.example"]
)
def test_a_name_that_was_rebound_may_not(host: str) -> None:
    assert refusal(host=host) == "foreign_host"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "file://", "http://localhost.evil.example"]
)
def test_the_page_of_a_stranger_may_not_post(origin: str) -> None:
    assert refusal(host="localhost:8080", origin=origin) == "foreign_origin"


def test_an_allowed_origin_may() -> None:
    settings = HttpSettings(cors_origins="https://shop.example")
    assert refusal(settings, host="localhost", origin="https://shop.example") == ""
    assert refusal(settings, host="localhost", origin="https://evil.example") == "foreign_origin"


def test_keys_or_the_operators_word_decide_instead() -> None:
    assert refusal(HttpSettings(keys=SecretStr("k")), host="shop.example", origin="https://x.example") == ""
    assert refusal(HttpSettings(insecure=True), host="shop.example") == ""
