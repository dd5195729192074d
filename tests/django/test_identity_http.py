"""Who an address is over HTTP: the client's where a trusted proxy says so, else the peer's, and never a fresh one."""

from collections.abc import Iterator
from typing import Any, Protocol

import pytest
from django.test import AsyncClient, Client

from django_ratelimit_gcra import runtime
from ratelimit_core.testing import ManualClock, enforcing
from testproject import samples

PAGE = "/samples/plain/"


class Charged(Protocol):
    """`charged(peer, forwarded)`: who a request is charged as."""

    def __call__(self, peer: str | None, forwarded: str | None = None) -> str: ...


@pytest.fixture(autouse=True)
def clock() -> Iterator[ManualClock]:
    samples.reset()
    with enforcing() as clock:
        yield clock


@pytest.fixture
def charged(client: Client) -> Charged:
    def ask(peer: str | None, forwarded: str | None = None) -> str:
        extra = {} if forwarded is None else {"HTTP_X_FORWARDED_FOR": forwarded}
        request = client.get(PAGE, **extra, REMOTE_ADDR=peer).wsgi_request  # type: ignore[arg-type]
        return str(request.ratelimit.decision.identity)  # type: ignore[attr-defined]  # the middleware writes it

    return ask


def trust(settings: Any, *networks: str) -> None:
    settings.RATE_LIMIT_TRUSTED_PROXIES = networks


def test_ten_thousand_spoofed_headers_from_an_untrusted_peer_are_one_bucket(
    client: Client, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("ERROR", "django.request")  # it would write a line for each refusal
    trust(settings, "192.0.2.0/24")
    spoofed = [f"198.51.{n // 250}.{n % 250}" for n in range(9_990)]
    spoofed += [
        "",
        ",",
        "unknown",
        "192.0.2.1",
        "::1",
        "[::1]:80",
        "x" * 10_000,
        "1.1.1.1," * 1_000,
        "\t",
        "for=1.1.1.1",
    ]
    found = [client.get(PAGE, REMOTE_ADDR="203.0.113.9", HTTP_X_FORWARDED_FOR=one).status_code for one in spoofed]
    assert found == [200] * 10 + [429] * 9_990
    assert samples.calls["plain"] == 10
    assert runtime.limiter().store.describe()["keys"] == 1


def test_through_a_trusted_proxy_each_client_has_its_own_bucket(client: Client, settings: Any) -> None:
    trust(settings, "192.0.2.1")
    for address in ("203.0.113.1", "203.0.113.2"):
        found = [client.get(PAGE, REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=address) for _ in range(11)]
        assert [response.status_code for response in found] == [200] * 10 + [429]


def test_what_a_client_writes_left_of_a_trusted_proxy_is_not_believed(client: Client, settings: Any) -> None:
    trust(settings, "192.0.2.1")
    lines = [f"198.51.100.{n}, 203.0.113.9" for n in range(11)]
    found = [client.get(PAGE, REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=line).status_code for line in lines]
    assert found == [200] * 10 + [429]


@pytest.mark.parametrize(
    ("peer", "forwarded", "identity"),
    [
        # one proxy
        ("192.0.2.1", "203.0.113.9", "203.0.113.9"),
        ("192.0.2.1", None, "192.0.2.1"),
        ("192.0.2.1", "", "192.0.2.1"),
        # chains: from the right the first that is not trusted; the leftmost where all are
        ("192.0.2.1", "203.0.113.9, 192.0.2.2", "203.0.113.9"),
        ("192.0.2.1", "203.0.113.9,192.0.2.3 ,192.0.2.2", "203.0.113.9"),
        ("192.0.2.1", "1.1.1.1, 203.0.113.9, 192.0.2.2", "203.0.113.9"),
        ("192.0.2.1", "192.0.2.3, 192.0.2.2", "192.0.2.3"),
        # garbage stops the walk at the last valid hop
        ("192.0.2.1", "203.0.113.9, nonsense, 192.0.2.2", "192.0.2.2"),
        ("192.0.2.1", "nonsense", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9,", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.999", "192.0.2.1"),
        ("192.0.2.1", "[2001:db8::7", "192.0.2.1"),
        ("192.0.2.1", "203.0.113.9\x00", "192.0.2.1"),
        # spellings of one address
        ("192.0.2.1", "203.0.113.9:4711", "203.0.113.9"),
        ("192.0.2.1", '"203.0.113.9"', "203.0.113.9"),
        ("192.0.2.1", "::ffff:203.0.113.9", "203.0.113.9"),
        ("192.0.2.1", "[::ffff:203.0.113.9]:4711", "203.0.113.9"),
        ("::ffff:192.0.2.1", "203.0.113.9", "203.0.113.9"),
        ("192.0.2.1", "2001:db8::7", "2001:db8::/64"),
        ("192.0.2.1", "2001:DB8:0:0:1::7", "2001:db8::/64"),
        ("192.0.2.1", "[2001:db8::7]", "2001:db8::/64"),
        ("192.0.2.1", "[2001:db8::7]:4711", "2001:db8::/64"),
        ("192.0.2.1", "[2001:db8::7%eth0]:4711", "2001:db8::/64"),
        ("192.0.2.1", "fe80::1%eth0", "fe80::/64"),
        # no proxy of ours
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("2001:db8::7", "198.51.100.1", "2001:db8::/64"),
        ("::ffff:203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("fe80::1%eth0", None, "fe80::/64"),
        # a Unix socket that is not trusted, and a peer that is no address
        ("", "198.51.100.1", "unknown"),
        ("nonsense", "198.51.100.1", "unknown"),
    ],
)
def test_the_address_of(settings: Any, charged: Charged, peer: str, forwarded: str | None, identity: str) -> None:
    trust(settings, "192.0.2.0/24")
    assert charged(peer, forwarded) == f"ip:{identity}"


def test_behind_a_trusted_unix_socket_the_header_counts(settings: Any, charged: Charged) -> None:
    trust(settings, "unix")
    assert charged("", "203.0.113.9") == "ip:203.0.113.9"
    assert charged("", None) == "ip:unknown"
    assert charged("192.0.2.1", "203.0.113.9") == "ip:192.0.2.1"


def test_private_names_all_private_networks(settings: Any, charged: Charged) -> None:
    trust(settings, "private")
    for peer in ("10.1.2.3", "172.16.0.1", "192.168.0.1", "127.0.0.1", "::1", "fd00::1", "::ffff:10.1.2.3"):
        assert charged(peer, "203.0.113.9") == "ip:203.0.113.9"
    assert charged("172.32.0.1", "203.0.113.9") == "ip:172.32.0.1"


def test_an_ipv6_client_cant_leave_its_bucket_by_taking_another_address_of_its_network(client: Client) -> None:
    found = [client.get(PAGE, REMOTE_ADDR=f"2001:db8::{n:x}").status_code for n in range(11)]
    assert found == [200] * 10 + [429]
    assert client.get(PAGE, REMOTE_ADDR="2001:db8:0:1::1").status_code == 200


def test_the_prefix_is_a_setting(settings: Any, charged: Charged) -> None:
    settings.RATE_LIMIT_IPV6_PREFIX = 56
    assert charged("2001:db8:0:ff::1") == "ip:2001:db8::/56"


def test_a_header_that_is_ignored_from_a_private_peer_is_counted(charged: Charged, settings: Any) -> None:
    trust(settings, "192.0.2.1")
    for peer in ("10.0.0.1", "203.0.113.9"):
        charged(peer, "198.51.100.1")
    charged("nonsense")
    assert runtime.limiter().describe()["counts"] == {"forwarded_ignored": 1, "no_peer": 1}


async def test_several_lines_of_the_header_are_one_list_under_asgi(settings: Any) -> None:
    trust(settings, "192.0.2.0/24")
    lines = [(b"x-forwarded-for", b"1.1.1.1"), (b"x-forwarded-for", b"203.0.113.9, 192.0.2.2")]
    client: Any = AsyncClient()
    response: Any = await client.request(
        **client._base_scope(path=PAGE, method="GET", headers=lines, client=("192.0.2.1", 1), server=("testserver", 80))
    )
    assert str(response.asgi_request.ratelimit.decision.identity) == "ip:203.0.113.9"
