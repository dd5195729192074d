"""Which bucket a request belongs to before any view runs."""

import re

import pytest

from ratelimit_core import Bucket, ConfigurationError, Rule
from ratelimit_core.buckets import StoreDown
from ratelimit_core.rules import acts_on, default_bucket, ordered

PLAIN = Bucket("read", quota="60/m:10")
SHIELDED = Bucket("pay", quota="5/m:1", concurrency=1, store_down=StoreDown.CLOSED)


@pytest.mark.parametrize(
    ("prefix", "path", "covers"),
    [
        ("/pay", "/pay", True),
        ("/pay", "/pay/", True),
        ("/pay", "/pay/card", True),
        ("/pay", "/payroll", False),
        ("/pay", "/api/pay", False),
        ("/pay", "/", False),
        ("/pay", "/pay\n", False),
        ("/pay/", "/pay/card", True),
        ("/pay/", "/pay", False),
        ("/", "/", True),
        ("/", "/anything/at/all", True),
        ("/bookings/*/pay", "/bookings/17/pay", True),
        ("/bookings/*/pay", "/bookings/17/pay/again", True),
        ("/bookings/*/pay", "/bookings/17/payroll", False),
        ("/bookings/*/pay", "/bookings/17/x/pay", False),
        ("/bookings/*/pay", "/bookings//pay", False),
        ("/bookings/*", "/bookings/17", True),
        ("/bookings/*", "/bookings/", False),
        ("/a.b", "/aXb", False),
        ("/a(b", "/a(b/c", True),
    ],
)
def test_a_path_covers_whole_segments_and_a_star_is_one_of_them(prefix: str, path: str, covers: bool) -> None:
    assert Rule("read", path=prefix).matches(path) is covers


@pytest.mark.parametrize("pattern", [r"/api/v\d+/", re.compile(r"/API/v\d+/", re.IGNORECASE)])
def test_a_pattern_is_matched_from_the_start(pattern: str | re.Pattern[str]) -> None:
    rule = Rule("read", pattern=pattern)
    assert rule.matches("/api/v2/users")
    assert not rule.matches("/x/api/v2/users")
    assert not rule.matches("/api/vx/")


def test_a_url_name_is_matched_bare_and_with_its_namespaces() -> None:
    rule = Rule("read", url_name="shop:search")
    assert rule.matches("/any", "search", ["shop"])
    assert not rule.matches("/any", "search")
    assert not rule.matches("/any", "search", ["blog"])
    assert Rule("read", url_name="search").matches("/any", "search", ["shop"])
    assert not Rule("read", url_name="search").matches("/any", None)


def test_a_namespace_is_matched_at_every_depth_and_in_full() -> None:
    assert Rule("read", namespace="shop").matches("/", "search", ["shop", "v1"])
    assert Rule("read", namespace="v1").matches("/", "search", ["shop", "v1"])
    assert Rule("read", namespace="shop:v1").matches("/", "search", ["shop", "v1"])
    assert not Rule("read", namespace="v1:shop").matches("/", "search", ["shop", "v1"])
    assert not Rule("read", namespace="shop").matches("/", "search")


def test_everything_a_rule_says_must_fit() -> None:
    rule = Rule("read", path="/api", url_name="search", namespace="shop")
    assert rule.matches("/api/x", "search", ["shop"])
    assert not rule.matches("/other", "search", ["shop"])
    assert not rule.matches("/api/x", "list", ["shop"])
    assert not rule.matches("/api/x", "search", ["blog"])


@pytest.mark.parametrize(
    ("fields", "setting", "accepted"),
    [
        ({}, "rule", "it needs a path, pattern, url_name or namespace"),
        ({"methods": ["POST"]}, "rule", "it needs a path, pattern, url_name or namespace"),
        ({"path": ""}, "rule path", "a path that starts with /"),
        ({"path": "pay"}, "rule path", "a path that starts with /"),
        ({"path": 5}, "rule path", "a path that starts with /"),
        ({"path": "/a", "pattern": "/a"}, "rule", "give path or pattern, not both"),
        ({"pattern": "("}, "rule pattern", "a regular expression (missing )"),
        ({"pattern": 5}, "rule pattern", "a regular expression ("),
        ({"pattern": re.compile(b"/a")}, "rule pattern", "a regular expression for text"),
        ({"path": "/a", "methods": "POST"}, "rule methods", "a list or set of methods, such as ['POST']"),
        ({"path": "/a", "methods": []}, "rule methods", "a list or set of methods, such as ['POST']"),
        ({"path": "/a", "methods": 5}, "rule methods", "a list or set of methods, such as ['POST']"),
        ({"path": "/a", "methods": ["GET", 5]}, "rule methods", "a list or set of methods, such as ['POST']"),
    ],
)
def test_a_rule_that_can_not_be_used_says_why(fields: dict[str, object], setting: str, accepted: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Rule("read", **fields)  # type: ignore[arg-type]  # on purpose
    assert caught.value.setting == setting
    assert accepted in caught.value.accepted


def test_methods_are_read_in_any_case() -> None:
    assert Rule("read", path="/", methods=["post", "Put"]).methods == {"POST", "PUT"}


def test_the_most_exact_rule_comes_first() -> None:
    named = Rule("read", url_name="pay")
    long = Rule("read", path="/bookings/*/pay")
    pattern = Rule("read", pattern="/bookings/.*")
    posts = Rule("read", path="/bookings", methods=["POST"])
    short = Rule("read", path="/bookings")
    spaced = Rule("read", namespace="shop")
    assert ordered([spaced, short, posts, pattern, long, named]) == (named, long, pattern, posts, short, spaced)


def test_equally_exact_rules_stay_in_the_order_given() -> None:
    rules = tuple(Rule(name, path=f"/{name}") for name in ("abc", "abd", "abb"))
    assert ordered(rules) == rules


# --- methods


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "DELETE", "PURGE"])
def test_a_plain_bucket_acts_on_every_method(method: str) -> None:
    assert acts_on(PLAIN, method, None)


def test_a_shielded_bucket_leaves_the_form_s_get_alone() -> None:
    acted = {method for method in ("GET", "HEAD", "OPTIONS", "TRACE", "POST", "PUT", "PATCH", "DELETE", "FOO")
             if acts_on(SHIELDED, method, None)}  # fmt: skip
    assert acted == {"TRACE", "POST", "PUT", "PATCH", "DELETE", "FOO"}


def test_methods_narrow_a_plain_bucket_and_widen_a_shielded_one() -> None:
    assert not acts_on(PLAIN, "GET", frozenset({"POST"}))
    assert acts_on(SHIELDED, "GET", frozenset({"GET", "POST"}))


def test_head_goes_where_get_goes() -> None:
    assert acts_on(PLAIN, "HEAD", frozenset({"GET"}))
    assert not acts_on(PLAIN, "HEAD", frozenset({"POST"}))
    assert not acts_on(PLAIN, "GET", frozenset({"HEAD"}))


@pytest.mark.parametrize(
    ("method", "name"),
    [("GET", "read"), ("HEAD", "read"), ("OPTIONS", "read"), ("TRACE", "read"),
     ("POST", "write"), ("PUT", "write"), ("PATCH", "write"), ("DELETE", "write"), ("PURGE", "write"), ("", "write")],
)  # fmt: skip
def test_what_nobody_claims_is_read_or_write_by_its_method(method: str, name: str) -> None:
    assert default_bucket(method) == name
