"""What the middleware adds, refuses and leaves alone."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from asgi_ratelimit import RateLimitMiddleware, Rule
from asgi_ratelimit.choice import Default
from asgi_ratelimit.scope import Scope
from ratelimit_core import Bucket, ConfigurationError, CostError, Limiter, Mode
from ratelimit_core.stores import MemoryStore
from ratelimit_core.testing import ManualClock, RecordingSink
from tests.asgi.driving import Exchange, Hello, drive, limiter_of


async def test_ten_requests_count_down_and_the_eleventh_is_refused_with_every_header() -> None:
    app = Hello()
    limited = RateLimitMiddleware(app, limiter_of())
    passed = [await drive(limited) for _ in range(10)]
    assert [exchange.headers["x-ratelimit-remaining"] for exchange in passed] == list("9876543210")
    assert {exchange.status for exchange in passed} == {200}
    refused = await drive(limited)
    assert refused.status == 429
    assert refused.header_list == [
        ("cache-control", "no-store"),
        ("content-type", "application/problem+json"),
        ("content-length", str(len(refused.body))),
        ("x-ratelimit-limit", "10"),
        ("x-ratelimit-remaining", "0"),
        ("x-ratelimit-reset", "1700000010"),
        ("x-ratelimit-policy", "read"),
        ("ratelimit-policy", '"read";q=10;w=10'),
        ("ratelimit", '"read";r=0;t=1'),
        ("retry-after", "1"),
    ]
    assert json.loads(refused.body)["violated-policies"] == ["read"]
    assert app.runs == 10


async def test_waiting_exactly_retry_after_is_admitted_and_a_microsecond_less_is_not() -> None:
    clock = ManualClock(5)
    limited = RateLimitMiddleware(Hello(), limiter_of(Bucket("read", quota="5/m:1"), clock=clock))
    await drive(limited)
    wait = int((await drive(limited)).headers["retry-after"])
    assert wait == 12
    clock.advance_us(wait * 1_000_000 - 1)
    assert (await drive(limited)).status == 429
    clock.advance_us(1)
    assert (await drive(limited)).status == 200


async def test_a_refused_head_has_the_headers_and_no_body() -> None:
    limited = RateLimitMiddleware(Hello(), limiter_of(Bucket("read", quota="1/m:1")))
    await drive(limited, method="HEAD")
    get, head = await drive(limited), await drive(limited, method="HEAD")
    assert (head.status, head.body) == (429, b"")
    assert head.header_list == get.header_list


async def test_headers_replace_those_of_the_same_name_and_keep_the_others() -> None:
    app = Hello((b"X-RateLimit-Limit", b"99"), (b"Set-Cookie", b"a=1"), (b"Set-Cookie", b"b=2"))
    exchange = await drive(RateLimitMiddleware(app, limiter_of()))
    assert exchange.header_list[:3] == [("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("x-ratelimit-limit", "10")]
    assert [name.lower() for name, _ in exchange.header_list].count("x-ratelimit-limit") == 1


async def test_a_shadowed_bucket_sends_its_numbers_and_refuses_nobody() -> None:
    app = Hello()
    limited = RateLimitMiddleware(app, limiter_of(Bucket("read", quota="1/m:1", mode=Mode.SHADOW)))
    exchanges = [await drive(limited) for _ in range(3)]
    assert [exchange.status for exchange in exchanges] == [200, 200, 200]
    assert exchanges[2].headers["x-ratelimit-remaining"] == "0"
    assert "retry-after" not in exchanges[2].headers


async def test_the_kill_switch_says_off() -> None:
    exchange = await drive(RateLimitMiddleware(Hello(), limiter_of(enabled=False)))
    assert exchange.header_list == [("x-ratelimit-policy", "off")]


@pytest.mark.parametrize("kind", ["websocket", "something.else"])
async def test_anything_but_http_passes_untouched(kind: str) -> None:
    app = Hello()
    scope = {"type": kind}
    exchange = Exchange()
    await RateLimitMiddleware(app, limiter_of())(scope, exchange.receive, exchange.send)
    assert app.scopes == [scope]
    assert app.scopes[0] is scope
    assert scope == {"type": kind}
    assert exchange.header_list == []


RULES = [
    Rule("write", path="/api"),
    Rule("read", path="/api/reports"),
    Rule("pay", path="/pay", methods={"POST"}),
    Rule("read", pattern=r"/v\d+/"),
]


@pytest.mark.parametrize(
    ("method", "path", "bucket"),
    [
        ("GET", "/api", "write"),
        ("GET", "/api/users", "write"),
        ("GET", "/apiary", "other"),
        ("GET", "/api/reports/7", "read"),
        ("POST", "/pay", "pay"),
        ("POST", "/pay/card", "pay"),
        ("GET", "/pay", "other"),
        ("GET", "/v2/x", "read"),
        ("GET", "/", "other"),
    ],
)
async def test_the_most_exact_rule_chooses_the_bucket_and_else_the_default(method: str, path: str, bucket: str) -> None:
    buckets = [Bucket(name, quota="60/m:10") for name in ("read", "write", "pay", "other")]
    exchange = await drive(RateLimitMiddleware(Hello(), limiter_of(*buckets), RULES, default="other"), path, method)
    assert exchange.headers["x-ratelimit-policy"] == bucket


async def test_rules_of_the_configuration_count_where_none_are_given() -> None:
    limiter = limiter_of(rules=(Rule("write", path="/api"),))
    assert (await drive(RateLimitMiddleware(Hello(), limiter), "/api")).headers["x-ratelimit-policy"] == "write"
    assert (await drive(RateLimitMiddleware(Hello(), limiter, []), "/api")).headers["x-ratelimit-policy"] == "read"


@pytest.mark.parametrize(
    ("root_path", "path"), [("/shop", "/shop/pay"), ("/shop/", "/shop/pay"), ("", "/pay"), ("/p", "/pay")]
)
async def test_rules_speak_of_the_applications_own_paths(root_path: str, path: str) -> None:
    limited = RateLimitMiddleware(Hello(), limiter_of(), [Rule("write", path="/pay")])
    assert (await drive(limited, path, root_path=root_path)).headers["x-ratelimit-policy"] == "write"


async def test_a_shielded_bucket_leaves_the_form_of_a_payment_to_the_default() -> None:
    financial = Bucket("financial", quota="5/m:1", concurrency=1, store_down="closed")  # type: ignore[arg-type]  # text is read too
    limiter = limiter_of(financial, Bucket("read", quota="60/m:10"))
    limited = RateLimitMiddleware(Hello(), limiter, [Rule("financial", path="/pay")])
    assert (await drive(limited, "/pay")).headers["x-ratelimit-policy"] == "read"


async def _later_write(scope: Scope) -> str:
    return "write"


@pytest.mark.parametrize(
    ("default", "policy"),
    [
        (None, None),
        (lambda scope: None, None),
        (lambda scope: "write", "write"),
        (lambda scope: ["read", "write"], "read, write"),
        (_later_write, "write"),
    ],
)
async def test_the_default_may_be_nothing_or_asked_for(default: Default, policy: str | None) -> None:
    app = Hello()
    exchange = await drive(RateLimitMiddleware(app, limiter_of(), default=default))
    assert exchange.headers.get("x-ratelimit-policy") == policy
    assert app.runs == 1


async def test_what_is_left_alone_is_not_charged() -> None:
    def internal(scope: Scope) -> bool:
        return (b"x-internal", b"1") in scope["headers"]

    app = Hello()
    limited = RateLimitMiddleware(app, limiter_of(Bucket("read", quota="1/m:1")), exempt=["/health", internal])
    for _ in range(2):
        for exchange in (
            await drive(limited, "/health"),
            await drive(limited, "/health/db"),
            await drive(limited, "/", "OPTIONS"),
            await drive(limited, "/", headers=[("X-Internal", "1")]),
        ):
            assert (exchange.status, exchange.header_list) == (200, [])
    assert (await drive(limited, "/healthy")).headers["x-ratelimit-remaining"] == "0"


async def test_to_spare_the_root_spares_nothing_else() -> None:
    limited = RateLimitMiddleware(Hello(), limiter_of(), exempt=["/"])
    assert [bool((await drive(limited, path)).header_list) for path in ("/", "/pay")] == [False, True]


async def test_a_method_in_lower_case_is_the_same_method() -> None:
    rules = [Rule("read", path="/both", methods={"POST"})]
    limited = RateLimitMiddleware(Hello(), limiter_of(Bucket("read", quota="1/m:1")), rules=rules, default=None)
    assert [(await drive(limited, "/both", method)).status for method in ("POST", "post", "get")] == [200, 429, 200]


async def test_one_predicate_needs_no_list() -> None:
    limited = RateLimitMiddleware(Hello(), limiter_of(), exempt=lambda scope: scope["path"] == "/x")
    assert [bool((await drive(limited, path)).header_list) for path in ("/x", "/y")] == [False, True]


async def _later_four(scope: Scope) -> int:
    return 4


@pytest.mark.parametrize(("cost", "left"), [(1, "9"), (3, "7"), (0, "10"), (lambda scope: 2, "8"), (_later_four, "6")])
async def test_a_cost_is_a_number_or_asked_for(cost: int | Callable[[Scope], int], left: str) -> None:
    assert (await drive(RateLimitMiddleware(Hello(), limiter_of(), cost=cost))).headers["x-ratelimit-remaining"] == left


@pytest.mark.parametrize("cost", [-1, 1.5, None, "2"])
async def test_a_cost_that_is_no_number_of_units_is_an_error_and_runs_nothing(cost: Any) -> None:
    app = Hello()
    with pytest.raises(CostError):
        await drive(RateLimitMiddleware(app, limiter_of(), cost=lambda scope: cost))
    assert app.runs == 0


async def test_a_cost_above_the_burst_is_no_wait() -> None:
    exchange = await drive(RateLimitMiddleware(Hello(), limiter_of(), cost=lambda scope: 11))
    assert exchange.status == 413
    assert "retry-after" not in exchange.headers


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"default": "raed"}, "'raed' can't be used: the buckets are read, write"),
        ({"rules": [Rule("raed", path="/")]}, "'raed' can't be used: the buckets are read, write"),
        ({"rules": [Rule("read", url_name="search")]}, "'search' can't be used: path or pattern"),
        ({"rules": [Rule("read", namespace="api")]}, "'api' can't be used: path or pattern"),
        ({"default": 7}, "7 can't be used: a bucket's name"),
        ({"exempt": "/health"}, "'/health' can't be used: a list"),
        ({"exempt": ["health"]}, "'health' can't be used: a path that starts with /"),
        ({"cost": 11}, "11 can't be used: a whole number from 0 to its burst, 10"),
        ({"cost": -1}, "-1 can't be used"),
        ({"cost": 1.5}, "1.5 can't be used"),
        ({"cost": True}, "True can't be used"),
    ],
)
def test_a_bad_argument_stops_the_start(arguments: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RateLimitMiddleware(Hello(), limiter_of(), **arguments)
    assert named in str(caught.value)


async def test_an_unknown_bucket_chosen_for_a_request_is_an_error_and_never_another_bucket() -> None:
    with pytest.raises(ConfigurationError, match="'raed' can't be used"):
        await drive(RateLimitMiddleware(Hello(), limiter_of(), default=lambda scope: "raed"))


async def test_without_a_limiter_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_SHADOW_READ", "false")
    limited = RateLimitMiddleware(Hello())
    assert [(await drive(limited)).status for _ in range(11)] == [200] * 10 + [429]


async def test_the_sinks_hear_the_rule_and_never_the_path() -> None:
    sink = RecordingSink()
    limiter = Limiter(limiter_of().config, MemoryStore(ManualClock()), [sink])
    limited = RateLimitMiddleware(Hello(), limiter, [Rule("write", path="/api"), Rule("read", pattern=r"/v\d+/")])
    for path in ("/api/7", "/v2/7", "/else/7"):
        await drive(limited, path)
    assert [(event.bucket, event.route) for event in sink.events] == [
        ("write", "/api"),
        ("read", r"/v\d+/"),
        ("read", None),
    ]


async def test_two_middlewares_charge_a_bucket_once_and_add_the_headers_once() -> None:
    limiter = limiter_of()
    inner = RateLimitMiddleware(Hello(), limiter, default=lambda scope: ["read", "write"])
    exchange = await drive(RateLimitMiddleware(inner, limiter))
    assert exchange.headers["x-ratelimit-policy"] == "read, write"
    assert exchange.headers["ratelimit"] == '"write";r=2;t=6, "read";r=9;t=9'


async def test_a_refusal_by_an_inner_middleware_carries_the_numbers_of_both() -> None:
    limiter = limiter_of()
    inner = RateLimitMiddleware(Hello(), limiter, default="write")
    outer = RateLimitMiddleware(inner, limiter)
    refused = [await drive(outer) for _ in range(4)][-1]
    assert refused.status == 429
    assert refused.headers["x-ratelimit-policy"] == "read, write"
    assert refused.headers["retry-after"] == "3"
