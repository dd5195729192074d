"""Settings are read when used, over variables, over `.env`; one that can't be used stops the start."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from django_ratelimit_gcra import conf, runtime
from django_ratelimit_gcra.conf import read_config, read_environment
from ratelimit_core import Bucket, Config, ConfigurationError, Rule


def mode_of(bucket: str) -> Any:
    return lambda config: config.policy(bucket).mode.value


def attribute(name: str) -> Any:
    return lambda config: getattr(config, name)


@pytest.mark.parametrize(
    ("setting", "value", "read", "expected"),
    [
        ("ENABLED", "no", attribute("enabled"), False),
        ("SHADOW", True, mode_of("write"), "shadow"),
        ("SHADOW", "0", mode_of("read"), "enforce"),
        ("SHADOW_READ", False, mode_of("read"), "enforce"),
        ("SHADOW_WRITE", "yes", mode_of("write"), "shadow"),
        ("SHADOW_FINANCIAL", 1, mode_of("financial"), "shadow"),
        ("SHADOW_AUTH", "off", mode_of("auth_bootstrap"), "enforce"),
        ("SHADOW_AUTH_BOOTSTRAP", "off", mode_of("auth_bootstrap"), "enforce"),
        ("UNDECORATED", "mode", attribute("undecorated"), "mode"),
        ("NAMESPACE", "shop", attribute("namespace"), "shop"),
        ("STORE_URL", "redis://127.0.0.1:1", attribute("store_url"), "redis://127.0.0.1:1"),
        ("REDIS_URL", "redis://127.0.0.1:1", attribute("store_url"), "redis://127.0.0.1:1"),
        ("TRUSTED_PROXIES", "10.0.0.0/8, unix", attribute("trusted_proxies"), ("10.0.0.0/8", "unix")),
        ("TRUSTED_PROXIES", ["private"], attribute("trusted_proxies"), ("private",)),
        ("IPV6_PREFIX", 56, attribute("ipv6_prefix"), 56),
        ("DRAFT_FIELDS", False, attribute("draft_fields"), False),
        ("RULES", [{"bucket": "write", "path": "/api/"}], attribute("rules"), (Rule("write", path="/api/"),)),
        ("BUCKETS", {"chat": {"quota": "60/m", "burst": 5}}, mode_of("chat"), "enforce"),
        ("BUCKETS", {"read": Bucket("read", quota="1/d:1")}, mode_of("read"), "enforce"),
    ],
)
def test_every_setting_is_read_when_used(setting: str, value: object, read: Any, expected: object) -> None:
    before = read(runtime.limiter().config) if setting != "BUCKETS" else None
    with override_settings(**{f"RATE_LIMIT_{setting}": value}):
        assert read(runtime.limiter().config) == expected
    if before is not None:
        assert read(runtime.limiter().config) == before != expected


def test_without_any_setting_the_defaults_stand() -> None:
    assert read_config() == Config.default()


def test_a_setting_beats_a_variable_and_a_variable_beats_the_file(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text(
        "OTHER=1\nRATE_LIMIT_NAMESPACE=file\nRATE_LIMIT_IPV6_PREFIX=48\nRATE_LIMIT_SHADOW_READ=off\n", "utf-8"
    )
    monkeypatch.setenv("RATE_LIMIT_NAMESPACE", "variable")
    monkeypatch.setenv("RATE_LIMIT_IPV6_PREFIX", "56")
    settings.BASE_DIR = tmp_path
    settings.RATE_LIMIT_IPV6_PREFIX = 60
    config = runtime.limiter().config
    assert (config.ipv6_prefix, config.namespace, config.shadow_flags) == (60, "variable", {"read": False})
    assert "RATE_LIMIT_SHADOW_READ" not in os.environ, "the file was written into the process's variables"
    assert "OTHER" not in os.environ


def test_the_file_may_hold_json(tmp_path: Path, settings: Any) -> None:
    rules = [{"bucket": "write", "path": "/api/", "methods": ["POST"]}]
    (tmp_path / ".env").write_text(f"RATE_LIMIT_RULES='{json.dumps(rules)}'\n", "utf-8")
    settings.BASE_DIR = str(tmp_path)
    assert read_config().rules == (Rule("write", path="/api/", methods={"POST"}),)


def test_no_file_is_no_error(tmp_path: Path, settings: Any) -> None:
    settings.BASE_DIR = tmp_path / "nowhere"
    assert read_environment() == {}


def test_only_our_own_variables_are_handed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_SHADOW", "1")
    assert read_environment() == {"RATE_LIMIT_SHADOW": "1"}


@pytest.mark.parametrize(
    ("setting", "value", "accepted"),
    [
        ("RATE_LIMIT_ENABLED", "ture", "1, true, yes or on"),
        ("RATE_LIMIT_ENABELD", "1", "did you mean RATE_LIMIT_ENABLED"),
        ("RATE_LIMIT_SHADOW_REED", "1", "the buckets are"),
        ("RATE_LIMIT_RULES", "[{", "JSON that parses"),
        ("RATE_LIMIT_BUCKETS", {"read": {"quota": "0/m", "burst": 1}}, "quota rate = 0"),
        ("RATE_LIMIT_STORE_URL", "mongodb://x", "memory://"),
        ("RATE_LIMIT_STORE_URL", "redis+cluster://x", "single node"),
        ("RATE_LIMIT_TRUSTED_PROXIES", "10.0.0.1/8", "CIDR"),
    ],
)
def test_a_bad_setting_stops_the_start_and_is_named(setting: str, value: object, accepted: str) -> None:
    app = apps.get_app_config("django_ratelimit_gcra")
    with override_settings(**{setting: value}), pytest.raises(ImproperlyConfigured, match=accepted) as raised:
        app.ready()
    assert setting in str(raised.value)
    app.ready()


def test_a_bad_variable_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_IPV6_PREFIX", "129")
    with pytest.raises(ConfigurationError, match=r"RATE_LIMIT_IPV6_PREFIX = .*129.* from 32 to 128"):
        read_config()


def test_an_unknown_variable_only_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATE_LIMIT_ENABELD", "1")
    with pytest.warns(UserWarning, match="RATE_LIMIT_ENABLED"):
        assert read_config() == Config.default()


# --- the door's own settings

TOKEN = "t0ken-of-the-tests"


@pytest.mark.parametrize(
    ("own", "raw", "expected"),
    [
        (conf.METRICS, True, True),
        (conf.METRICS, "on", True),
        (conf.METRICS, "0", False),
        (conf.METRICS, " ", False),
        (conf.METRICS_TOKEN, TOKEN, TOKEN),
        (conf.METRICS_TOKEN, f" {TOKEN}\n", TOKEN),
        (conf.METRICS_TOKEN, "", None),
    ],
)
def test_a_setting_of_our_own_is_read_when_used(
    own: conf.Own[object], raw: object, expected: object, settings: Any
) -> None:
    setattr(settings, own.name, None)
    assert own.value() == own.default
    with override_settings(**{own.name: raw}):
        assert own.value() == expected
        read_config()
    assert own.value() == own.default


def test_a_setting_of_our_own_beats_a_variable_and_a_variable_the_file(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("RATE_LIMIT_METRICS=on\n", "utf-8")
    settings.BASE_DIR = tmp_path
    settings.RATE_LIMIT_METRICS = None
    assert conf.METRICS.value()
    monkeypatch.setenv("RATE_LIMIT_METRICS", "off")
    assert not conf.METRICS.value()
    settings.RATE_LIMIT_METRICS = True
    assert conf.METRICS.value()


@pytest.mark.parametrize("variable", [True, False])
def test_a_typo_in_a_setting_of_our_own_stops_the_start(variable: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    app = apps.get_app_config("django_ratelimit_gcra")
    if variable:
        monkeypatch.setenv("RATE_LIMIT_METRICS", "ture")
    said = r"RATE_LIMIT_METRICS = 'ture' .* 1, true, yes or on"
    value = None if variable else "ture"  # in either case a setting changes, which drops the limiter
    with override_settings(RATE_LIMIT_METRICS=value), pytest.raises(ImproperlyConfigured, match=said):
        app.ready()


def test_a_variable_of_our_own_is_not_taken_for_an_unknown_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in conf.OWN_SETTINGS:
        monkeypatch.setenv(name, " ")
    assert read_config() == Config.default()


@pytest.mark.parametrize("token", ["short", "with a space in it", "t\u00f6ken-of-the-tests", "t0ken\x00of-the-tests"])
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused_and_not_repeated(token: str) -> None:
    with override_settings(RATE_LIMIT_METRICS_TOKEN=token), pytest.raises(ConfigurationError) as raised:
        conf.METRICS_TOKEN.value()
    assert "RATE_LIMIT_METRICS_TOKEN" in str(raised.value)
    assert "16 visible" in str(raised.value)
    assert token not in str(raised.value)
