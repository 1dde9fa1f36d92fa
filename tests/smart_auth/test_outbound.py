"""What a stranger names is fetched from public addresses only."""

import pytest

from smart_auth import outbound
from smart_auth.client_keys import UnusableKeys


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/jwks",
        "https://127.0.0.1/jwks",
        "https://localhost/jwks",
        "https://10.0.0.1/jwks",
        "https://192.168.1.1/jwks",
        "https://169.254.169.254/latest/meta-data",
        "https://[::1]/jwks",
        "https://[fd00::1]/jwks",
        "https://[::ffff:127.0.0.1]/jwks",
        "https://0.0.0.0/jwks",
        "https://2130706433/jwks",
        "file:///etc/passwd",
        "https://",
    ],
)
async def test_an_address_of_our_own_network_is_not_asked(url):
    with pytest.raises(UnusableKeys):
        await outbound.fetch_public(url)


async def test_the_address_that_was_looked_at_is_the_one_connected_to(monkeypatch):
    seen = []

    async def fetched(url, headers, extensions):
        seen.append((url, headers["Host"], extensions))
        return b"{}"

    async def address(host, port):
        return "203.0.113.7"

    monkeypatch.setattr(outbound, "_fetched", fetched)
    monkeypatch.setattr(outbound, "_public_address", address)
    await outbound.fetch_public("https://client.example:8443/jwks")
    assert seen == [
        (
            "https://203.0.113.7:8443/jwks",
            "client.example:8443",
            {"sni_hostname": "client.example"},
        )
    ]
