"""The throttle for Django REST framework."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from ratelimit_core.testing import ManualClock, enforcing
from testproject import samples
from tests.django.places import token_for

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.django.rest")]

MIDDLEWARE = "django_ratelimit_gcra.middleware.RateLimitMiddleware"
RATE_HEADERS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-RateLimit-Policy")


@pytest.fixture(autouse=True)
def no_calls() -> None:
    samples.reset()


@pytest.fixture
def clock() -> Iterator[ManualClock]:
    with enforcing(ManualClock(1_700_000_000_000_000)) as clock:
        yield clock


@pytest.fixture(params=["with the middleware", "without the middleware"])
def either_way(request: Any, settings: Any) -> None:
    """Once as recommended, once with the throttle alone."""
    if request.param == "without the middleware":
        settings.MIDDLEWARE = [one for one in settings.MIDDLEWARE if one != MIDDLEWARE]


@pytest.fixture
def alice() -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def bob() -> User:
    return User.objects.create_user("bob")


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def statuses(client: Client, url: str, times: int, **extra: Any) -> list[int]:
    return [client.post(url, **extra).status_code for _ in range(times)]


@pytest.mark.usefixtures("either_way", "clock")
def test_a_token_user_and_a_session_user_are_the_same_user_with_one_budget(alice: User) -> None:
    assert browser(alice).post("/write/").json()["identity"] == f"user:{alice.pk}"
    assert Client(headers=token_for(alice)).post("/write/").json()["identity"] == f"user:{alice.pk}"
    assert statuses(browser(alice), "/write/", 2) == [200, 429]


@pytest.mark.usefixtures("either_way", "clock")
def test_two_token_users_behind_one_address_have_two_budgets(alice: User, bob: User) -> None:
    assert statuses(Client(headers=token_for(alice)), "/write/", 4) == [200, 200, 200, 429]
    assert statuses(Client(headers=token_for(bob)), "/write/", 4) == [200, 200, 200, 429]


@pytest.mark.usefixtures("either_way", "clock")
def test_a_token_user_on_two_addresses_has_one_budget(alice: User) -> None:
    client = Client(headers=token_for(alice))
    assert statuses(client, "/write/", 2, REMOTE_ADDR="203.0.113.1") == [200, 200]
    assert statuses(client, "/write/", 2, REMOTE_ADDR="203.0.113.2") == [200, 429]


@pytest.mark.usefixtures("either_way", "clock")
def test_somebody_anonymous_is_charged_by_address(client: Client) -> None:
    assert client.post("/write/", REMOTE_ADDR="203.0.113.9").json()["identity"] == "ip:203.0.113.9"
    assert statuses(client, "/write/", 3, REMOTE_ADDR="203.0.113.9") == [200, 200, 429]
    assert statuses(client, "/write/", 1, REMOTE_ADDR="203.0.113.10") == [200]


@pytest.mark.usefixtures("either_way")
def test_the_429_says_the_exact_wait_and_coming_back_then_is_admitted(clock: ManualClock, client: Client) -> None:
    assert statuses(client, "/write/", 3) == [200, 200, 200]
    clock.advance_us(500_000)
    refused = client.post("/write/")
    assert refused.status_code == 429
    assert refused.headers["Retry-After"] == "3", "2.5 s, rounded up"
    assert " in 3 s" in refused.json()["detail"]
    clock.advance_us(2_499_999)
    assert client.post("/write/").headers["Retry-After"] == "1", "one microsecond is missing"
    clock.advance_us(1)
    assert client.post("/write/").status_code == 200
    assert samples.calls["Write"] == 4


@pytest.mark.usefixtures("either_way", "clock")
def test_every_response_has_the_headers_a_refusal_too(client: Client) -> None:
    found = [client.post("/write/").headers for _ in range(4)]
    assert [[headers.get(name) for name in RATE_HEADERS] for headers in found] == [
        ["3", "2", "1700000003", "write"],
        ["3", "1", "1700000006", "write"],
        ["3", "0", "1700000009", "write"],
        ["3", "0", "1700000009", "write"],
    ]


@pytest.mark.usefixtures("either_way", "clock")
def test_an_admitted_response_has_no_retry_after(client: Client) -> None:
    assert "Retry-After" not in client.post("/write/").headers


@pytest.mark.usefixtures("clock")
def test_a_refusal_by_permission_charges_nobody_in_earnest(client: Client, alice: User) -> None:
    assert statuses(client, "/members/", 9) == [401] * 9
    assert statuses(Client(headers=token_for(alice)), "/members/", 4) == [200, 200, 200, 429]


@pytest.mark.usefixtures("either_way", "clock")
@pytest.mark.parametrize("url", ["/financial/", "/session-financial/"])
def test_a_bucket_that_requires_a_user_answers_401_and_charges_nobody(client: Client, alice: User, url: str) -> None:
    refused = [client.post(url) for _ in range(3)]
    assert [one.status_code for one in refused] == [401] * 3
    assert [one.headers.get("WWW-Authenticate") for one in refused] == ["Token" if url == "/financial/" else None] * 3
    assert "Retry-After" not in refused[0].headers
    assert refused[0].headers["X-RateLimit-Policy"] == "financial"
    assert statuses(browser(alice), url, 1) == [200]


@pytest.mark.usefixtures("either_way", "clock")
def test_a_cost_that_never_fits_is_413_without_a_wait_and_charges_nothing(client: Client) -> None:
    refused = client.post("/weighted/?cost=4")
    assert (refused.status_code, "Retry-After" in refused.headers) == (413, False)
    assert refused.headers["X-RateLimit-Remaining"] == "3"


@pytest.mark.usefixtures("either_way", "clock")
def test_a_view_may_cost_several_units_or_as_many_as_its_method_says(client: Client) -> None:
    assert client.post("/costly/").headers["X-RateLimit-Remaining"] == "1"
    assert client.post("/weighted/?cost=1").headers["X-RateLimit-Remaining"] == "0"
    assert client.get("/costly-unnamed/").headers["X-RateLimit-Remaining"] == "8"


@pytest.mark.usefixtures("either_way")
def test_without_its_store_a_closed_bucket_answers_503_and_an_open_one_the_view(settings: Any, alice: User) -> None:
    settings.RATE_LIMIT_STORE_URL = "redis://127.0.0.1:1/0"
    refused = browser(alice).post("/financial/")
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) >= 1
    assert samples.calls["Financial"] == 0
    assert statuses(browser(alice), "/write/", 4) == [200, 200, 200, 429]


@pytest.mark.usefixtures("either_way")
def test_shadow_refuses_nobody_and_asks_nobody_to_wait(settings: Any, client: Client, namespace: str) -> None:
    settings.RATE_LIMIT_SHADOW = True
    settings.RATE_LIMIT_NAMESPACE = namespace
    found = [client.post("/write/") for _ in range(5)]
    assert [one.status_code for one in found] == [200] * 5
    assert [one.headers["X-RateLimit-Remaining"] for one in found] == ["2", "1", "0", "0", "0"]
    assert not any("Retry-After" in one.headers for one in found)
    assert client.post("/financial/").status_code == 200


@pytest.mark.usefixtures("either_way")
def test_the_kill_switch_leaves_everybody_in_peace(settings: Any, client: Client) -> None:
    settings.RATE_LIMIT_ENABLED = False
    assert statuses(client, "/write/", 5) == [200] * 5
    assert client.post("/write/").headers["X-RateLimit-Policy"] == "off"


@pytest.mark.usefixtures("either_way", "clock")
def test_options_is_left_alone(client: Client) -> None:
    assert [client.options("/write/").status_code for _ in range(5)] == [200] * 5
    assert "X-RateLimit-Limit" not in client.options("/write/").headers
    assert client.post("/write/").headers["X-RateLimit-Remaining"] == "2"


@pytest.mark.usefixtures("either_way", "clock")
def test_two_throttles_of_one_bucket_charge_once(client: Client) -> None:
    assert client.post("/twice/").headers["X-RateLimit-Remaining"] == "2"
    assert statuses(client, "/twice/", 3) == [200, 200, 429]


@pytest.mark.usefixtures("either_way", "clock")
def test_two_buckets_are_charged_together_or_not_at_all(client: Client) -> None:
    assert statuses(client, "/write/", 3) == [200, 200, 200]
    refused = client.post("/both/")
    assert refused.status_code == 429
    assert '"read";r=10' in refused.headers["RateLimit"]
    assert (samples.calls["Write"], samples.calls["Both"]) == (3, 0)


@pytest.mark.usefixtures("clock")
def test_beside_another_throttle_the_longest_wait_counts(client: Client) -> None:
    assert client.post("/crowded/").headers["Retry-After"] == "8"
    assert samples.calls["Crowded"] == 0


@pytest.mark.usefixtures("either_way", "clock")
def test_an_action_of_a_viewset_may_name_its_own_bucket(alice: User) -> None:
    client = Client(headers=token_for(alice))
    assert client.get("/things/").json() == {"bucket": "read"}
    assert client.get("/things/").headers["X-RateLimit-Remaining"] == "8"
    assert statuses(client, "/things/shake/", 4) == [200, 200, 200, 429]
    assert samples.calls["shake"] == 3


@pytest.mark.usefixtures("either_way", "clock")
def test_a_function_view_is_limited_by_a_throttle_that_names_its_bucket(client: Client) -> None:
    assert statuses(client, "/function/", 4) == [200, 200, 200, 429]
    assert samples.calls["function"] == 3


@pytest.mark.usefixtures("either_way", "clock")
def test_without_a_bucket_of_its_own_a_view_is_observed_by_its_method(client: Client) -> None:
    assert client.get("/unnamed/").json()["bucket"] == "read"
    assert statuses(client, "/unnamed/", 5) == [200] * 5
    assert client.post("/unnamed/").headers["X-RateLimit-Policy"] == "write"


@pytest.mark.usefixtures("either_way", "clock")
def test_undecorated_mode_enforces_the_default_bucket(settings: Any, client: Client) -> None:
    settings.RATE_LIMIT_UNDECORATED = "mode"
    assert statuses(client, "/unnamed/", 4) == [200, 200, 200, 429]


@pytest.mark.usefixtures("either_way", "clock")
def test_undecorated_off_leaves_the_view_alone(settings: Any, client: Client) -> None:
    settings.RATE_LIMIT_UNDECORATED = "off"
    response = client.post("/unnamed/")
    assert response.json() == {"bucket": None, "identity": "None"}
    assert "X-RateLimit-Limit" not in response.headers


@pytest.mark.usefixtures("either_way", "clock")
def test_a_rule_gives_a_view_without_a_bucket_its_own(settings: Any, client: Client) -> None:
    settings.RATE_LIMIT_RULES = [{"bucket": "read", "url_name": "unnamed", "methods": ["POST"]}]
    assert client.post("/unnamed/").json()["bucket"] == "read"
    assert client.get("/unnamed/").json()["bucket"] == "read"


@pytest.mark.usefixtures("either_way", "clock")
def test_reading_a_shielded_view_costs_its_default_bucket(client: Client) -> None:
    found = [client.get("/costly-financial/") for _ in range(11)]
    assert [one.status_code for one in found] == [200] * 10 + [429]
    assert found[0].headers["X-RateLimit-Policy"] == "read"


@pytest.mark.usefixtures("clock")
def test_the_view_finds_the_decision_on_djangos_request_too(client: Client) -> None:
    response = client.post("/write/")
    assert response.wsgi_request.ratelimit.decision.bucket == "write"  # type: ignore[attr-defined]


@pytest.mark.usefixtures("clock")
def test_an_exempt_view_is_left_alone_by_its_throttle(client: Client) -> None:
    assert statuses(client, "/spared/", 5) == [200] * 5
