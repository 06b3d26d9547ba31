"""Which URLs and addresses a caller may have us connect to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from ai.errors import InvalidRequest
from backend.addresses import AddressRefused, AddressRules, check_url

STRICT = AddressRules()
OPEN = AddressRules(allow_http=True, allow_private=True)

PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "::1",
    "fd12:3456::1",
    "fc00::1",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
]
NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "fd00:ec2::254",
    "fd20:ce::254",
    "100.100.100.200",
    "168.63.129.16",
    "0.0.0.0",
    "0.1.2.3",
    "192.0.0.192",
    "192.0.2.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::127.0.0.1",
    "::ffff:0:127.0.0.1",
    "64:ff9b:1::7f00:1",
    "fe80::1",
    "fe80::1%2",
    "fec0::1",
    "ff02::1",
    "ff0e::1",
    "2001:0:7f00:1::",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::",
    "3fff::1",
    "100::1",
]
PUBLIC = [
    "8.8.8.8",
    "172.15.0.1",
    "172.32.0.1",
    "100.63.0.1",
    "2606:4700::1111",
    "64:ff9b::808:808",
]


@pytest.mark.parametrize("address", PRIVATE + NEVER)
def test_an_address_inside_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused):
        STRICT.check_address(ip_address(address))


@pytest.mark.parametrize("address", NEVER)
def test_some_are_refused_even_where_private_ones_are_allowed(address: str) -> None:
    with pytest.raises(AddressRefused):
        OPEN.check_address(ip_address(address))


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_can_be_allowed(address: str) -> None:
    OPEN.check_address(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_is_allowed(address: str) -> None:
    STRICT.check_address(ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com",
        "https://example.com/hook?token=a%20b#part",
        "HTTPS://EXAMPLE.COM:443/",
        "https://example.com:8443/",
        "https://xn--bcher-kva.example/",
        "https://example.com./",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:8443/",
        "https://localhost.example.com/",
    ],
)
def test_a_sane_url_is_taken(url: str) -> None:
    STRICT.check_url(url)


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("", "ASCII"),
        ("example.com/hook", "https://"),
        ("//example.com/", "https://"),
        ("http://example.com/", "https://"),
        ("ftp://example.com/", "https://"),
        ("file:///etc/passwd", "https://"),
        ("gopher://example.com/", "https://"),
        ("https:example.com", "host"),
        ("https:///hook", "host"),
        ("https://[::1", "URL"),
        ("https://example.com:99999/", "URL"),
        ("https://user@example.com/", "password"),
        ("https://user:pass@example.com/", "password"),
        ("https://example.com:443@evil.example/", "password"),
        ("https://1.1.1.1&@127.0.0.1#@8.8.8.8/", "password"),
        ("https://example.com\\@127.0.0.1/", "ASCII"),
        ("https://example.com/a b", "ASCII"),
        ("https://example.com/\r\nHost: evil", "ASCII"),
        (" https://example.com/", "ASCII"),
        ("https://bücher.example/", "punycode"),
        ("https://①②⑦.0.0.1/", "punycode"),
        ("https://example.com:0/", "port"),
        ("https://example.com:22/", "port"),
        ("https://example.com:25/", "port"),
        ("https://example.com/" + "a" * 2000, "2000"),
    ],
)
def test_a_url_that_is_none_or_plays_tricks_is_refused(url: str, complaint: str) -> None:
    with pytest.raises(AddressRefused, match=complaint):
        STRICT.check_url(url)


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST.",
        "api.localhost",
        "127.0.0.1",
        "127.0.0.1.",
        "127.1",
        "2130706433",
        "017700000001",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "0",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[0:0:0:0:0:ffff:169.254.169.254]",
        "[64:ff9b::127.0.0.1]",
        "[fe80::1%25eth0]",
        "169.254.169.254",
        "0xa9fea9fe",
        "2852039166",
        "%31%32%37.0.0.1",
    ],
)
def test_an_inside_address_is_refused_however_it_is_spelled(host: str) -> None:
    with pytest.raises(AddressRefused):
        STRICT.check_url(f"https://{host}/")


def test_http_and_private_urls_can_be_allowed() -> None:
    OPEN.check_url("http://localhost:8000/hook")
    OPEN.check_url("http://192.168.1.7/hook")
    with pytest.raises(AddressRefused, match="https:// or http://"):
        OPEN.check_url("ws://192.168.1.7/hook")


def test_a_caller_is_told_the_field_and_nothing_of_the_address() -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_url("https://10.1.2.3/hook", STRICT, "webhook_url")
    assert refused.value.field == "webhook_url"
    assert "10.1.2.3" not in str(refused.value)
