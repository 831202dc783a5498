"""Where a service may bind without keys."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from services.http.addresses import is_loopback
from services.http.server import check_binding
from services.kernel.settings import HttpSettings, SettingsError


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_keys(host: str) -> None:
    assert is_loopback(host)
    check_binding(HttpSettings(host=host))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "example.org", "", "127.0.0.1.example.org"])
def test_the_network_needs_keys(host: str) -> None:
    assert not is_loopback(host)
    with pytest.raises(SettingsError, match=r"set FRESHET_KEYS .* or FRESHET_INSECURE=1"):
        check_binding(HttpSettings(host=host))
    check_binding(HttpSettings(host=host, keys=SecretStr("k")))
    check_binding(HttpSettings(host=host, write_keys=SecretStr("k")))
    check_binding(HttpSettings(host=host, insecure=True))
