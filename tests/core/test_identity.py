"""Who is charged: users of every kind, and the address behind whatever stands between a client and us."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ratelimit_core import ConfigurationError, Identity, IdentityError, RateLimitError
from ratelimit_core.identity import AddressNote, Located, Proxies, check_prefix

TRUSTED = ("10.0.0.0/8", "192.0.2.1", "2001:db8:ff::/48")
PROXY = "10.0.0.1"
CLIENT = "203.0.113.9"
UNKNOWN = "ip:unknown"


def located(peer: str | None, *lines: str, trusted: tuple[str, ...] = TRUSTED, prefix: int = 64) -> str:
    return str(Proxies(trusted, prefix).locate(peer, lines).identity)


# --- users and keys


@pytest.mark.parametrize(
    ("pk", "name"),
    [
        (42, "user:42"),
        ("42", "user:42"),
        (0, "user:0"),
        (-1, "user:-1"),
        (UUID(int=5), "user:00000000-0000-0000-0000-000000000005"),
        ("{a|b}~#\n", "user:{a|b}~#\n"),
        (" ", "user: "),
        ("x" * 10_240, "user:" + "x" * 10_240),
        ("\ud800", "user:\ud800"),
    ],
)
def test_a_user_is_named_by_the_primary_key(pk: object, name: str) -> None:
    assert str(Identity.user(pk)) == name


@pytest.mark.parametrize("make", [Identity.user, Identity.ip, Identity.key])
@pytest.mark.parametrize("value", [None, ""])
def test_nobody_can_not_be_charged(make: type[Identity], value: object) -> None:
    """An unsaved user has no primary key: its budget would be everybody's."""
    with pytest.raises(IdentityError, match=f"= {value!r} names nobody: give a primary key, an address or a key"):
        make(value)  # type: ignore[call-arg,arg-type]  # one of the three constructors


def test_the_same_value_of_another_kind_is_another_identity() -> None:
    assert len({Identity.user("1"), Identity.ip("1"), Identity.key("1")}) == 3
    assert issubclass(IdentityError, RateLimitError)


# --- the address of a client that stands alone


@pytest.mark.parametrize(
    ("peer", "name"),
    [
        ("203.0.113.9", "ip:203.0.113.9"),
        ("203.0.113.9:5123", "ip:203.0.113.9"),
        (" 203.0.113.9 ", "ip:203.0.113.9"),
        ("::ffff:203.0.113.9", "ip:203.0.113.9"),
        ("[::ffff:203.0.113.9]:443", "ip:203.0.113.9"),
        ("2001:db8::1", "ip:2001:db8::/64"),
        ("2001:0DB8:0:0:0:0:0:1", "ip:2001:db8::/64"),
        ("2001:db8:0:0:ffff::9", "ip:2001:db8::/64"),
        ("2001:db8:0:1::1", "ip:2001:db8:0:1::/64"),
        ("[2001:db8::1]", "ip:2001:db8::/64"),
        ("[2001:db8::1]:443", "ip:2001:db8::/64"),
        ("fe80::1%eth0", "ip:fe80::/64"),
        ("[fe80::1%25eth0]:80", "ip:fe80::/64"),
        ("::1", "ip:::/64"),
    ],
)
def test_an_address_loses_port_brackets_zone_and_the_mapped_form(peer: str, name: str) -> None:
    assert located(peer) == name


@pytest.mark.parametrize(
    ("prefix", "name"), [(32, "ip:2001:db8::/32"), (56, "ip:2001:db8:0:ff00::/56"), (128, "ip:2001:db8:0:ff01::1")]
)
def test_the_ipv6_prefix_is_the_configured_one(prefix: int, name: str) -> None:
    assert located("2001:db8:0:ff01::1", prefix=prefix) == name


def test_the_ipv6_prefix_leaves_ipv4_alone() -> None:
    assert located("::ffff:203.0.113.9", prefix=32) == "ip:203.0.113.9"


@pytest.mark.parametrize(
    "peer", [None, "", "unix", "testclient", "@", "203.0.113", "203.0.113.09", "[::1", "[::1]x", "[::1]:", "1.2.3.4:x"]
)
def test_a_peer_without_an_address_is_the_unknown_one(peer: str | None) -> None:
    assert Proxies().locate(peer, ()) == Located(Identity.ip("unknown"), AddressNote.NO_PEER)


# --- behind proxies


@pytest.mark.parametrize(
    ("peer", "lines", "name"),
    [
        pytest.param(PROXY, (CLIENT,), f"ip:{CLIENT}", id="one proxy"),
        pytest.param(PROXY, (f"{CLIENT}, 10.0.0.2, 192.0.2.1",), f"ip:{CLIENT}", id="a chain of trusted proxies"),
        pytest.param(PROXY, (CLIENT, "10.0.0.2"), f"ip:{CLIENT}", id="several lines are one list"),
        pytest.param(PROXY, ("6.6.6.6, 203.0.113.9, 10.0.0.2",), f"ip:{CLIENT}", id="the client's own claim is void"),
        pytest.param(PROXY, ("6.6.6.6", "203.0.113.9"), f"ip:{CLIENT}", id="a claim in a line of its own is void"),
        pytest.param(PROXY, ("10.0.0.3, 10.0.0.2",), "ip:10.0.0.3", id="every hop trusted: the leftmost"),
        pytest.param(PROXY, (), f"ip:{PROXY}", id="no header"),
        pytest.param(PROXY, ("",), f"ip:{PROXY}", id="an empty header"),
        pytest.param(PROXY, (" , ",), f"ip:{PROXY}", id="nothing but commas"),
        pytest.param(PROXY, ("unknown",), f"ip:{PROXY}", id="garbage alone"),
        pytest.param(PROXY, ("6.6.6.6, garbage, 10.0.0.2",), "ip:10.0.0.2", id="garbage stops at the last valid hop"),
        pytest.param(PROXY, ("6.6.6.6, , 10.0.0.2",), "ip:10.0.0.2", id="a hole is garbage"),
        pytest.param(PROXY, ("unix",), f"ip:{PROXY}", id="nobody becomes a unix peer by saying so"),
        pytest.param(CLIENT, ("6.6.6.6",), f"ip:{CLIENT}", id="an untrusted peer's header is void"),
        pytest.param(CLIENT, (f"6.6.6.6, {PROXY}",), f"ip:{CLIENT}", id="an untrusted peer can not borrow a proxy"),
        pytest.param(PROXY, ("[2001:db8::7]:443",), "ip:2001:db8::/64", id="brackets and a port"),
        pytest.param(PROXY, ('"[2001:db8::7]"',), "ip:2001:db8::/64", id="quoted"),
        pytest.param(PROXY, ("203.0.113.9:1234",), f"ip:{CLIENT}", id="a port"),
        pytest.param(PROXY, ("::ffff:203.0.113.9",), f"ip:{CLIENT}", id="a mapped client"),
        pytest.param("::ffff:10.0.0.1", (CLIENT,), f"ip:{CLIENT}", id="a mapped proxy is that proxy"),
        pytest.param("2001:db8:ff::5", (CLIENT,), f"ip:{CLIENT}", id="an IPv6 proxy"),
        pytest.param("192.0.2.1", (CLIENT,), f"ip:{CLIENT}", id="a proxy given as a single address"),
        pytest.param("192.0.2.2", (CLIENT,), "ip:192.0.2.2", id="its neighbour is none"),
        pytest.param(None, (CLIENT,), UNKNOWN, id="no peer: nobody vouches for the header"),
        pytest.param("unix", (CLIENT,), UNKNOWN, id="a unix peer is not trusted by default"),
    ],
)
def test_the_client_is_the_first_from_the_right_that_is_no_trusted_proxy(
    peer: str | None, lines: tuple[str, ...], name: str
) -> None:
    assert located(peer, *lines) == name


def test_a_unix_peer_is_believed_where_it_is_trusted() -> None:
    proxies = Proxies(("unix", "10.0.0.0/8"))
    assert str(proxies.locate("unix", (f"{CLIENT}, 10.0.0.2",)).identity) == f"ip:{CLIENT}"
    assert proxies.locate("unix", ()) == Located(Identity.ip("unknown"), AddressNote.NO_PEER)
    assert proxies.locate(CLIENT, ("6.6.6.6",)).identity == Identity.ip(CLIENT)


@pytest.mark.parametrize("peer", ["10.1.2.3", "172.31.0.1", "192.168.1.1", "127.0.0.1", "::1", "fd00::1", "fe80::1"])
def test_private_names_the_networks_of_ones_own(peer: str) -> None:
    assert located(peer, CLIENT, trusted=(" private ",)) == f"ip:{CLIENT}"


@pytest.mark.parametrize("peer", ["172.32.0.1", "11.0.0.1", "8.8.8.8", "2001:db8::1"])
def test_private_names_nobody_else(peer: str) -> None:
    assert located(peer, CLIENT, trusted=("private",)) == located(peer)


def test_ten_thousand_spoofed_headers_from_one_untrusted_peer_are_one_client() -> None:
    proxies = Proxies(("private",))
    claims = [(f"{number >> 8 & 255}.{number & 255}.7.7",) for number in range(10_000)]
    assert {proxies.locate(CLIENT, claim).identity for claim in claims} == {Identity.ip(CLIENT)}


def test_a_client_can_not_leave_its_ipv6_network() -> None:
    proxies = Proxies(("private",))
    hosts = [(f"2001:db8:0:0:{number:x}::1",) for number in range(1, 2_000)]
    assert {str(proxies.locate(PROXY, host).identity) for host in hosts} == {"ip:2001:db8::/64"}


@pytest.mark.parametrize(
    ("line", "name"),
    [
        pytest.param("6.6.6.6," * 2_000 + CLIENT, f"ip:{CLIENT}", id="a long claim before the client"),
        pytest.param("x" * 10_240, f"ip:{PROXY}", id="no comma in 10 kB"),
        pytest.param("x" * 10_240 + f", {CLIENT}", f"ip:{CLIENT}", id="garbage before the client"),
        pytest.param(",".join(["10.0.0.2"] * 2_000), "ip:10.0.0.2", id="nothing but proxies"),
        pytest.param(
            "6" + "1.2.3.4," * 1_400 + ",".join(["10.0.0.2"] * 10), "ip:1.2.3.4", id="a hop cut in two is no hop"
        ),
    ],
)
def test_an_absurdly_long_header_is_read_from_its_right_end(line: str, name: str) -> None:
    assert located(PROXY, line) == name


hop = st.sampled_from([CLIENT, "10.0.0.2", "6.6.6.6", "garbage", "", "2001:db8::1", "[::1]:8"]) | st.text(max_size=8)


@given(st.lists(hop, max_size=6), st.lists(hop, max_size=6))
def test_what_a_client_claims_never_changes_who_it_is(claim: list[str], other: list[str]) -> None:
    proxies = Proxies(TRUSTED)
    assert len({proxies.locate(PROXY, (*claimed, CLIENT, "10.0.0.2")) for claimed in (tuple(claim), tuple(other))}) == 1


@given(st.text(max_size=40), st.lists(st.text(max_size=40), max_size=4))
def test_no_text_from_outside_raises(peer: str, lines: list[str]) -> None:
    assert Proxies(("private", "unix")).locate(peer, tuple(lines)).identity.kind == "ip"


# --- what an operator is told


@pytest.mark.parametrize(
    ("peer", "lines", "note"),
    [
        ("127.0.0.1", (CLIENT,), AddressNote.FORWARDED_IGNORED),
        ("172.17.0.1", (CLIENT,), AddressNote.FORWARDED_IGNORED),
        ("unix", (CLIENT,), AddressNote.FORWARDED_IGNORED),
        ("unix", (), AddressNote.NO_PEER),
        (CLIENT, ("6.6.6.6",), None),
        ("127.0.0.1", (), None),
    ],
)
def test_a_header_ignored_from_a_near_peer_is_noted_and_one_from_afar_is_not(
    peer: str, lines: tuple[str, ...], note: AddressNote | None
) -> None:
    assert Proxies().locate(peer, lines).note is note


def test_a_believed_header_is_not_noted() -> None:
    assert Proxies(TRUSTED).locate(PROXY, (CLIENT,)).note is None


# --- configuration


@pytest.mark.parametrize("name", ["10.0.0.0/33", "10.0.0.1/8", "proxy", "", "*", "10.0.0.1:80"])
def test_a_proxy_that_is_no_network_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^RATE_LIMIT_TRUSTED_PROXIES = .*'private' or 'unix'"):
        Proxies((name,))


@pytest.mark.parametrize("prefix", [32, 64, 128])
def test_a_prefix_from_32_to_128_is_accepted(prefix: int) -> None:
    assert check_prefix(prefix) == prefix


@pytest.mark.parametrize("prefix", [31, 129, 64.0, "64", True, None])
def test_a_prefix_outside_32_to_128_is_refused(prefix: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^RATE_LIMIT_IPV6_PREFIX = .*a whole number from 32 to 128"):
        check_prefix(prefix)
