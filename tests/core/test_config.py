"""The configuration: what is read from settings and variables, what stops the start, and which mode is in force."""

import re
import warnings
from collections.abc import Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import replace

import pytest

from ratelimit_core import Bucket, Config, ConfigurationError, Mode, Quota, Rule
from ratelimit_core.buckets import StoreDown, Undecorated
from ratelimit_core.config import Override, Source
from ratelimit_core.parsing import ATTRIBUTES, canonical_name, merged, parse_bool

READ = Bucket("read", quota="60/m:10")
PAIR = Bucket("pair", quotas=("6/m:2", "60/h:6"))  # type: ignore[arg-type]  # text is read
URL = "redis://cache:6379/0"


def env(**variables: str) -> Config:
    return Config.from_env({f"RATE_LIMIT_{name}": text for name, text in variables.items()})


def settings(**values: object) -> Config:
    return Config.from_settings({f"RATE_LIMIT_{name}": value for name, value in values.items()}, {})


def refusal(given: Mapping[str, object]) -> ConfigurationError:
    """Why these settings can not be."""
    with pytest.raises(ConfigurationError) as caught:
        Config.from_settings(given, {})
    return caught.value


def bucket_refusal(fields: object, name: str = "chat") -> ConfigurationError:
    return refusal({"RATE_LIMIT_BUCKETS": {name: fields}})


# --- what is there without configuration


def test_nothing_configured_is_the_four_default_buckets() -> None:
    config = Config.from_env({})
    assert config == Config.default() == Config.from_settings({}, {})
    assert list(config.policies) == ["auth_bootstrap", "read", "write", "financial"]
    assert (config.enabled, config.shadow, config.undecorated) == (True, None, Undecorated.SHADOW)
    assert (config.namespace, config.store_url) == ("ratelimit", "memory://")
    assert (config.trusted_proxies, config.ipv6_prefix, config.rules) == ((), 64, ())


def test_given_buckets_are_exactly_those() -> None:
    assert list(Config(buckets=[READ]).policies) == ["read"]


def test_an_unknown_bucket_is_never_another_ones_limits() -> None:
    """The original of this design took another bucket in silence."""
    with pytest.raises(ConfigurationError, match=r"^bucket = 'reed' can't be used: the buckets are read$"):
        Config(buckets=[READ]).policy("reed")


@pytest.mark.parametrize("cost", [0, 1, 2])
def test_a_cost_that_is_written_down_fits_the_smallest_burst(cost: int) -> None:
    Config(buckets=[PAIR]).check_cost("pair", cost)


@pytest.mark.parametrize("cost", [3, -1, 1.5, True, "2", None])
def test_a_cost_that_is_written_down_and_could_never_fit_stops_the_start(cost: object) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config(buckets=[PAIR]).check_cost("pair", cost)  # type: ignore[arg-type]  # on purpose
    assert str(caught.value) == (f"bucket 'pair': cost = {cost!r} can't be used: a whole number from 0 to its burst, 2")


# --- booleans


@pytest.mark.parametrize("word", ["1", "true", "yes", "on"])
def test_a_word_for_yes_is_read_in_any_case(word: str) -> None:
    assert [parse_bool(one, "X") for one in (word, word.upper(), word.title(), f" {word}\t")] == [True] * 4


@pytest.mark.parametrize("word", ["0", "false", "no", "off"])
def test_a_word_for_no_is_read_in_any_case(word: str) -> None:
    assert [parse_bool(one, "X") for one in (word, word.upper(), word.title(), f" {word}\t")] == [False] * 4


@pytest.mark.parametrize(("value", "read"), [(True, True), (False, False), (1, True), (0, False)])
def test_a_number_and_a_boolean_are_read_as_what_they_are(value: object, read: object) -> None:
    assert parse_bool(value, "X") is read


@pytest.mark.parametrize("name", ["ENABLED", "SHADOW", "SHADOW_READ", "DRAFT_FIELDS"])
@pytest.mark.parametrize("text", ["ture", "2", "y", "enabled", "t rue", "-1", "ja", "нет"])
def test_a_word_that_is_neither_stops_the_start(name: str, text: str) -> None:
    """django-environ reads `ture` as false: a typo would be the kill switch."""
    with pytest.raises(ConfigurationError) as caught:
        env(**{name: text})
    assert str(caught.value) == (f"RATE_LIMIT_{name} = {text!r} can't be used: 1, true, yes or on; 0, false, no or off")


@pytest.mark.parametrize("value", ["", 2, 1.5, b"true", []])
def test_a_setting_that_is_neither_stops_the_start(value: object) -> None:
    assert refusal({"RATE_LIMIT_ENABLED": value}).setting == "RATE_LIMIT_ENABLED"


@pytest.mark.parametrize("text", ["1", "True", "YES"])
def test_enabled_1_does_not_switch_the_limiter_off(text: str) -> None:
    """It did in the original of this design."""
    assert env(ENABLED=text).enabled is True


# --- flat settings


def test_every_flat_variable_is_read() -> None:
    config = env(
        ENABLED="no",
        SHADOW="true",
        SHADOW_READ="false",
        UNDECORATED=" Mode ",
        NAMESPACE="shop",
        STORE_URL=URL,
        TRUSTED_PROXIES="10.0.0.0/8, private ,unix,",
        IPV6_PREFIX="56",
        DRAFT_FIELDS="off",
        RULES='[{"bucket": "write", "path": "/api/", "methods": ["POST"]}]',
        BUCKETS='{"chat": {"quota": "60/m", "burst": 10, "mode": "shadow"}}',
    )
    assert (config.enabled, config.shadow, config.shadow_flags) == (False, True, {"read": False})
    assert (config.undecorated, config.namespace, config.store_url) == (Undecorated.MODE, "shop", URL)
    assert (config.trusted_proxies, config.ipv6_prefix) == (("10.0.0.0/8", "private", "unix"), 56)
    assert config.draft_fields is False
    assert config.rules == (Rule("write", path="/api/", methods=["POST"]),)
    assert config.policies["chat"].bucket == Bucket("chat", quota="60/m:10", mode=Mode.SHADOW)


def test_settings_read_as_values_what_variables_read_as_text() -> None:
    rule = Rule("read", url_name="search")
    config = settings(
        ENABLED=False,
        SHADOW_READ=False,
        UNDECORATED="off",
        TRUSTED_PROXIES=["10.0.0.0/8"],
        IPV6_PREFIX=48,
        RULES=[rule, {"bucket": "write", "path": "/api/"}],
        BUCKETS={"chat": Bucket("chat", quota="60/m:10")},
    )
    assert (config.enabled, config.shadow_flags, config.undecorated) == (False, {"read": False}, Undecorated.OFF)
    assert (config.trusted_proxies, config.ipv6_prefix) == (("10.0.0.0/8",), 48)
    assert config.rules == (rule, Rule("write", path="/api/"))
    assert config.policies["chat"].bucket == Bucket("chat", quota="60/m:10")


def test_an_empty_variable_and_none_are_unset() -> None:
    names = ("ENABLED", "SHADOW", "SHADOW_READ", "STORE_URL", "BUCKETS", "RULES", "IPV6_PREFIX")
    assert env(**dict.fromkeys(names, " ")) == Config.default()
    assert settings(**dict.fromkeys(names)) == Config.default()


def test_a_setting_beats_a_variable() -> None:
    config = Config.from_settings(
        {"RATE_LIMIT_NAMESPACE": "shop", "RATE_LIMIT_SHADOW_READ": True, "RATE_LIMIT_BUCKETS": {}},
        {
            "RATE_LIMIT_NAMESPACE": "other",
            "RATE_LIMIT_SHADOW_READ": "false",
            "RATE_LIMIT_SHADOW_WRITE": "true",
            "RATE_LIMIT_BUCKETS": '{"chat": {"quota": "1/s:1"}}',
        },
    )
    assert config.namespace == "shop"
    assert config.shadow_flags == {"read": True, "write": True}
    assert "chat" not in config.policies


def test_a_setting_beats_the_variable_that_is_its_alias() -> None:
    config = Config.from_settings(
        {"RATE_LIMIT_STORE_URL": "memory://", "RATE_LIMIT_SHADOW_AUTH": False},
        {"RATE_LIMIT_REDIS_URL": URL, "RATE_LIMIT_SHADOW_AUTH_BOOTSTRAP": "true"},
    )
    assert config.store_url == "memory://"
    assert config.shadow_flags == {"auth_bootstrap": False}


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("UNDECORATED", "enforce", "'shadow', 'mode' or 'off'"),
        ("UNDECORATED", True, "'shadow', 'mode' or 'off'"),
        ("NAMESPACE", "my shop", "letters, digits, '.', '_' and '-'"),
        ("NAMESPACE", "", "letters, digits, '.', '_' and '-'"),
        ("NAMESPACE", "a:b", "letters, digits, '.', '_' and '-'"),
        ("NAMESPACE", 5, "text"),
        ("STORE_URL", 6379, "text"),
        ("TRUSTED_PROXIES", "10.0.0.0/33", "addresses, CIDR networks ('10.0.0.0/8'), 'private' or 'unix'"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "addresses, CIDR networks ('10.0.0.0/8'), 'private' or 'unix'"),
        ("TRUSTED_PROXIES", ["proxy.example"], "addresses, CIDR networks ('10.0.0.0/8'), 'private' or 'unix'"),
        ("TRUSTED_PROXIES", True, "a list of names"),
        ("TRUSTED_PROXIES", [10], "a list of names"),
        ("IPV6_PREFIX", "sixty-four", "a whole number"),
        ("IPV6_PREFIX", 64.5, "a whole number"),
        ("IPV6_PREFIX", "31", "a whole number from 32 to 128"),
        ("IPV6_PREFIX", 129, "a whole number from 32 to 128"),
        ("IPV6_PREFIX", True, "a whole number from 32 to 128"),
        ("RULES", "[{", "JSON that parses"),
        ("RULES", "[" * 100_000, "JSON that parses"),
        ("RULES", {"bucket": "read"}, "a list such as"),
        ("RULES", ["read"], "a dict with bucket and any of"),
        ("RULES", [{"path": "/"}], "a dict with bucket and any of"),
        ("RULES", [{"bucket": "read", "pfad": "/"}], "a dict with bucket and any of bucket, methods, namespace"),
        ("BUCKETS", "{", "JSON that parses"),
        ("BUCKETS", "[]", 'a dict such as {"chat": {"quota": "60/m", "burst": 10}}'),
        ("BUCKETS", 5, "a dict such as"),
    ],
)
def test_a_setting_that_can_not_be_used_says_its_name_its_value_and_what_is_accepted(
    name: str, value: object, accepted: str
) -> None:
    error = refusal({f"RATE_LIMIT_{name}": value})
    assert error.setting == f"RATE_LIMIT_{name}"
    assert str(error).startswith(f"RATE_LIMIT_{name} = {repr(error.value)[:200]}")
    assert accepted in error.accepted


@pytest.mark.parametrize(
    ("rule", "setting", "accepted"),
    [
        ({"bucket": "reed", "path": "/"}, "RATE_LIMIT_RULES: bucket", "the buckets are auth_bootstrap, read, write"),
        ({"bucket": "read", "path": "api"}, "RATE_LIMIT_RULES: rule path", "starts with /"),
        ({"bucket": "read", "pattern": "("}, "RATE_LIMIT_RULES: rule pattern", "a regular expression"),
        ({"bucket": "read", "path": "/", "methods": "POST"}, "RATE_LIMIT_RULES: rule methods", "['POST']"),
    ],
)
def test_a_rule_that_can_not_be_used_is_named_with_its_setting(
    rule: dict[str, object], setting: str, accepted: str
) -> None:
    error = refusal({"RATE_LIMIT_RULES": [rule]})
    assert error.setting == setting
    assert accepted in error.accepted


# --- names


def test_an_unknown_setting_stops_the_start_and_suggests_what_was_meant() -> None:
    error = refusal({"RATE_LIMIT_ENABELD": False})
    assert (error.setting, error.value) == ("RATE_LIMIT_ENABELD", False)
    assert "did you mean RATE_LIMIT_ENABLED?" in error.accepted
    assert "RATE_LIMIT_SHADOW_<BUCKET>" in error.accepted


def test_an_unknown_setting_that_resembles_nothing_lists_what_there_is() -> None:
    error = refusal({"RATE_LIMIT_": 1})
    assert "RATE_LIMIT_STORE_URL" in error.accepted
    assert "did you mean" not in refusal({"RATE_LIMIT_ZZZZZZZZZZZZZZZZZZZZ": 1}).accepted


def test_an_unknown_variable_only_warns() -> None:
    """Another program's variable must not stop this one."""
    with pytest.warns(UserWarning, match="RATE_LIMIT_ENABELD = 'no' can't be used: no such setting; did you mean"):
        config = env(ENABELD="no")
    assert config == Config.default()


def test_a_foreign_name_is_nobodys_business() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert Config.from_settings({"DEBUG": True}, {"PATH": "/bin", "rate_limit_enabled": "no"}) == Config.default()


def test_a_door_may_know_more_names() -> None:
    assert Config.from_settings({"RATE_LIMIT_SINKS": []}, {}, also_known=["RATE_LIMIT_SINKS"]) == Config.default()


# --- aliases


def test_the_redis_url_is_an_alias_of_the_store_url() -> None:
    assert env(REDIS_URL=URL).store_url == URL
    assert env(REDIS_URL=URL, STORE_URL=URL).store_url == URL


@pytest.mark.parametrize("names", [("REDIS_URL", "STORE_URL"), ("STORE_URL", "REDIS_URL")])
def test_two_aliases_set_differently_stop_the_start(names: tuple[str, str]) -> None:
    values = {name: "memory://" if name == "STORE_URL" else URL for name in names}
    with pytest.raises(ConfigurationError) as caught:
        env(**values)
    assert (caught.value.setting, caught.value.value) == ("RATE_LIMIT_REDIS_URL", URL)
    assert caught.value.accepted == "RATE_LIMIT_STORE_URL means the same and is set differently; keep one"


def test_every_setting_says_which_attribute_it_becomes() -> None:
    fields = {one.name for one in dataclass_fields(Config)}
    assert set(ATTRIBUTES.values()) <= fields
    assert ATTRIBUTES[canonical_name("RATE_LIMIT_REDIS_URL")] == "store_url"
    assert ATTRIBUTES[canonical_name("RATE_LIMIT_ENABLED")] == "enabled"


def test_auth_is_an_alias_of_auth_bootstrap() -> None:
    assert env(SHADOW_AUTH="false").shadow_flags == {"auth_bootstrap": False}
    assert env(SHADOW_AUTH="no", SHADOW_AUTH_BOOTSTRAP="0").shadow_flags == {"auth_bootstrap": False}
    assert env(SHADOW_AUTH="false").policy("auth_bootstrap").mode is Mode.ENFORCE


def test_auth_and_auth_bootstrap_set_differently_stop_the_start() -> None:
    error = refusal({"RATE_LIMIT_SHADOW_AUTH": True, "RATE_LIMIT_SHADOW_AUTH_BOOTSTRAP": False})
    assert error.setting == "RATE_LIMIT_SHADOW_AUTH"
    assert "RATE_LIMIT_SHADOW_AUTH_BOOTSTRAP means the same and is set differently" in error.accepted


def test_a_bucket_that_is_called_auth_has_its_own_flag() -> None:
    config = settings(BUCKETS={"auth": {"quota": "1/s:1"}}, SHADOW_AUTH=True, SHADOW_AUTH_BOOTSTRAP=False)
    assert config.shadow_flags == {"auth": True, "auth_bootstrap": False}


@pytest.mark.parametrize("name", ["REED", "", "read"])
def test_a_shadow_flag_of_an_unknown_bucket_stops_the_start(name: str) -> None:
    if name == "read":  # names of flags are written in any case, like those of the buckets
        assert env(SHADOW_read="true").shadow_flags == {"read": True}
        return
    with pytest.raises(ConfigurationError) as caught:
        env(**{f"SHADOW_{name}": "true"})
    assert caught.value.setting == f"RATE_LIMIT_SHADOW_{name}"
    assert "the buckets are auth_bootstrap, read, write, financial" in caught.value.accepted


# --- buckets


def test_a_new_bucket_joins_the_default_ones() -> None:
    config = settings(BUCKETS={"chat": {"quotas": ["5/m:1", {"quota": "50/h", "burst": 10, "name": "slow"}]}})
    assert list(config.policies) == ["auth_bootstrap", "read", "write", "financial", "chat"]
    assert [quota.label for quota in config.policies["chat"].bucket.quotas] == ["60s", "slow"]


def test_an_override_keeps_what_it_does_not_name() -> None:
    before = Config.default().policy("financial").bucket
    after = (
        Config.default({"financial": {"burst": 2, "lease_ttl": "10s", "retention": 3_600}}).policy("financial").bucket
    )
    quota = Quota.parse("5/m:2")
    assert after == replace(before, quotas=(quota,), lease_ttl_us=10_000_000, retention_us=3_600_000_000)


@pytest.mark.parametrize(
    ("fields", "quotas"),
    [
        ({}, ["60/m:10"]),
        ({"burst": 20}, ["60/m:20"]),
        ({"burst": None}, ["60/m:10"]),
        ({"quota": "30/m", "burst": 5}, ["30/m:5"]),
        ({"quota": "30/m:5"}, ["30/m:5"]),
        ({"quota": Quota.parse("30/m:5")}, ["30/m:5"]),
        ({"quotas": ["30/m:5", "100/h:50"]}, ["30/m:5", "100/h:50"]),
    ],
)
def test_an_override_changes_the_quota_or_only_its_burst(fields: dict[str, object], quotas: list[str]) -> None:
    bucket = Config.default({"read": fields}).policy("read").bucket
    assert bucket.quotas == tuple(map(Quota.parse, quotas))


def test_flags_and_nothing_are_read_in_a_bucket_too() -> None:
    fields = {
        "quota": "60/m:10",
        "require_user": "yes",
        "derived_ttl": None,
        "concurrency": None,
        "store_down": "allow",
    }
    bucket = settings(BUCKETS={"chat": fields}).policy("chat").bucket
    assert (bucket.require_user, bucket.derived_ttl_us, bucket.store_down) == (True, None, StoreDown.ALLOW)


@pytest.mark.parametrize(
    ("fields", "setting", "accepted"),
    [
        ({}, "RATE_LIMIT_BUCKETS['chat']: quota", "a new bucket needs quota and burst, or quotas"),
        ({"burst": 5}, "RATE_LIMIT_BUCKETS['chat']: quota", "a new bucket needs quota and burst, or quotas"),
        ({"quota": "10/month"}, "RATE_LIMIT_BUCKETS['chat']: quota", "write rate/period:burst, such as '60/m:10'"),
        ({"quota": "60/m"}, "RATE_LIMIT_BUCKETS['chat']: quota", "a burst is required"),
        ({"quota": None}, "RATE_LIMIT_BUCKETS['chat']: quota", "write rate/period:burst"),
        ({"quota": {"rate": 60}}, "RATE_LIMIT_BUCKETS['chat']: quota", "write rate/period:burst"),
        ({"quota": "60/m", "burst": 0}, "RATE_LIMIT_BUCKETS['chat']: quota burst", "a whole number, at least 1"),
        ({"quota": "60/m", "burst": "10"}, "RATE_LIMIT_BUCKETS['chat']: quota burst", "a whole number, at least 1"),
        ({"quota": "60/m", "burst": True}, "RATE_LIMIT_BUCKETS['chat']: quota burst", "a whole number, at least 1"),
        ({"quota": "0/m", "burst": 1}, "RATE_LIMIT_BUCKETS['chat']: quota rate", "a whole number, at least 1"),
        ({"quota": Quota.parse("1/s:1"), "burst": 5}, "RATE_LIMIT_BUCKETS['chat']: burst", "a burst of its own"),
        ({"quotas": "5/m:1"}, "RATE_LIMIT_BUCKETS['chat']: quotas", "a list such as ['5/m:1', '50/h:10']"),
        ({"quotas": ["5/m:1"], "burst": 1}, "RATE_LIMIT_BUCKETS['chat']: quotas", "not both"),
        ({"quotas": ["5/m:1"], "quota": "1/s:1"}, "RATE_LIMIT_BUCKETS['chat']: quotas", "not both"),
        ({"quotas": []}, "RATE_LIMIT_BUCKETS: bucket 'chat': quotas", "at least one quota"),
        ({"quota": "1/s:1", "mode": "on"}, "RATE_LIMIT_BUCKETS: bucket 'chat': mode", "one of off, shadow, canary"),
        ({"quota": "1/s:1", "moed": "off"}, "RATE_LIMIT_BUCKETS['chat']['moed']", "no such field; known are burst"),
        ({"quota": "1/s:1", "lease_ttl": "soon"}, "RATE_LIMIT_BUCKETS['chat']['lease_ttl']", "write '500ms', '30s'"),
        ({"quota": "1/s:1", "lease_ttl_us": 5}, "RATE_LIMIT_BUCKETS['chat']['lease_ttl_us']", "lease_ttl, "),
        ({"quota": "1/s:1", "retention": "8d"}, "RATE_LIMIT_BUCKETS: bucket 'chat': retention_us", "at most 7 days"),
        ({"quota": "1/s:1", "require_user": "ja"}, "RATE_LIMIT_BUCKETS['chat']['require_user']", "1, true, yes or on"),
        ({"quota": "1/s:1", "name": "other"}, "RATE_LIMIT_BUCKETS['chat']['name']", "no such field"),
        ("60/m:10", "RATE_LIMIT_BUCKETS['chat']", "a dict of the bucket's fields"),
        (Bucket("other", quota="1/s:1"), "RATE_LIMIT_BUCKETS['chat']", "a dict of the bucket's fields"),
    ],
)
def test_a_bucket_that_can_not_be_used_says_where_it_stands_and_what_is_accepted(
    fields: object, setting: str, accepted: str
) -> None:
    error = bucket_refusal(fields)
    assert error.setting == setting
    assert accepted in error.accepted
    assert str(error).startswith(f"{setting} = ")


def test_a_bucket_with_several_quotas_has_no_single_burst() -> None:
    several = [Bucket("chat", quotas=(Quota.parse("5/m:1"), Quota.parse("50/h:10")))]
    with pytest.raises(ConfigurationError, match=r"\['chat'\]: burst = 5 can't be used: the bucket has several quotas"):
        merged(several, {"chat": {"burst": 5}})


def test_a_bucket_name_that_can_not_be_used_is_named_with_the_setting() -> None:
    error = bucket_refusal({"quota": "1/s:1"}, "Chat Room")
    assert (error.setting, error.value) == ("RATE_LIMIT_BUCKETS: bucket name", "Chat Room")


def test_financial_with_an_open_door_stops_the_start() -> None:
    error = bucket_refusal({"store_down": "open"}, "financial")
    assert (error.setting, error.value) == ("RATE_LIMIT_BUCKETS: bucket 'financial': store_down", "open")
    assert "'closed'" in error.accepted
    opened = settings(BUCKETS={"financial": {"store_down": "open", "unprotected_when_down": True}})
    assert opened.policy("financial").bucket.store_down is StoreDown.OPEN


# --- which mode is in force


@pytest.mark.parametrize(
    ("own", "shadow", "flag", "enabled", "mode", "source"),
    [
        (Mode.ENFORCE, None, None, True, Mode.ENFORCE, Source.BUCKET),
        (Mode.CANARY, None, None, True, Mode.CANARY, Source.BUCKET),
        (Mode.ENFORCE, True, None, True, Mode.SHADOW, Source.SHADOW),
        (Mode.SHADOW, False, None, True, Mode.ENFORCE, Source.SHADOW),
        (Mode.CANARY, False, None, True, Mode.ENFORCE, Source.SHADOW),
        (Mode.ENFORCE, None, True, True, Mode.SHADOW, Source.SHADOW_BUCKET),
        (Mode.SHADOW, None, False, True, Mode.ENFORCE, Source.SHADOW_BUCKET),
        (Mode.ENFORCE, False, True, True, Mode.SHADOW, Source.SHADOW_BUCKET),
        (Mode.SHADOW, True, False, True, Mode.ENFORCE, Source.SHADOW_BUCKET),
        (Mode.OFF, False, None, True, Mode.OFF, Source.BUCKET),
        (Mode.OFF, True, None, True, Mode.OFF, Source.BUCKET),
        (Mode.OFF, None, False, True, Mode.OFF, Source.BUCKET),
        (Mode.ENFORCE, False, False, False, Mode.OFF, Source.KILL_SWITCH),
        (Mode.OFF, None, None, False, Mode.OFF, Source.KILL_SWITCH),
    ],
)
def test_kill_switch_then_the_bucket_s_flag_then_the_global_one_then_its_own_mode(
    own: Mode, shadow: bool | None, flag: bool | None, enabled: bool, mode: Mode, source: Source
) -> None:
    flags = {} if flag is None else {"chat": flag}
    chat = Bucket("chat", quota="60/m:10", mode=own)
    policy = Config(buckets=[chat], enabled=enabled, shadow=shadow, shadow_flags=flags).policy("chat")
    assert policy == (chat, mode, source)


def test_a_global_flag_reaches_the_buckets_that_are_listed() -> None:
    """The original of this design ignored it for those."""
    config = settings(
        SHADOW=True, BUCKETS={"chat": {"quota": "60/m:10", "mode": "enforce"}, "read": {"mode": "enforce"}}
    )
    assert {policy.mode for policy in config.policies.values()} == {Mode.SHADOW}


# --- what is changed at run time


@pytest.mark.parametrize("own", list(Mode))
@pytest.mark.parametrize("shadow", [None, True, False])
@pytest.mark.parametrize("flag", [None, True, False])
@pytest.mark.parametrize("chosen", list(Mode))
def test_an_override_beats_every_flag_and_the_bucket_s_own_mode(
    own: Mode, shadow: bool | None, flag: bool | None, chosen: Mode
) -> None:
    flags = {} if flag is None else {"read": flag}
    base = Config(buckets=[replace(READ, mode=own), PAIR], shadow=shadow, shadow_flags=flags)
    config = base.overridden({"read": Override(mode=chosen)})
    assert config.policy("read") == (replace(READ, mode=chosen), chosen, Source.OVERRIDE)
    assert config.policy("pair") == base.policy("pair")


def test_an_override_of_quotas_leaves_the_mode_to_the_settings() -> None:
    base = Config(buckets=[READ], shadow=True)
    policy = base.overridden({"read": Override(quotas=(Quota.parse("90/m:15"),))}).policy("read")
    assert (policy.bucket.quotas, policy.mode, policy.source) == (
        (Quota.parse("90/m:15"),),
        Mode.SHADOW,
        Source.SHADOW,
    )


def test_an_override_of_the_share_keeps_what_else_there_is() -> None:
    base = Config(buckets=[replace(READ, mode=Mode.CANARY, canary_percent=10)])
    policy = base.overridden({"read": Override(canary_percent=20)}).policy("read")
    assert policy == (replace(READ, mode=Mode.CANARY, canary_percent=20), Mode.CANARY, Source.BUCKET)


def test_an_override_keeps_the_names_of_quotas_so_that_no_debt_is_forgotten() -> None:
    named = Bucket("read", quotas=[Quota.parse("60/m:10", name="short"), Quota.parse("100/h:20", name="long")])
    quotas = (Quota.parse("90/m:10"), Quota.parse("100/2h:20"), Quota.parse("500/d:90"))
    after = Config(buckets=[named]).overridden({"read": Override(quotas=quotas)}).policy("read").bucket.quotas
    assert [quota.label for quota in after] == ["short", "long", "86400s"]
    fewer = Config(buckets=[named]).overridden({"read": Override(quotas=quotas[:1])}).policy("read").bucket.quotas
    assert [quota.label for quota in fewer] == ["short"]
    renamed = Override(quotas=(Quota.parse("90/m:10", name="other"),))
    assert Config(buckets=[named]).overridden({"read": renamed}).policy("read").bucket.quotas[0].name == "other"


def test_the_kill_switch_beats_an_override_and_nothing_beats_the_settings_kill_switch() -> None:
    enforced = {"read": Override(mode=Mode.ENFORCE)}
    killed = Config(buckets=[READ]).overridden(enforced, enabled=False)
    assert (killed.policy("read").mode, killed.policy("read").source) == (Mode.OFF, Source.KILL_SWITCH)
    for enabled in (True, None):
        assert not Config(buckets=[READ], enabled=False).overridden(enforced, enabled).enabled
        assert Config(buckets=[READ]).overridden(enforced, enabled).enabled


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"reed": Override()}, "override: bucket = 'reed' can't be used: the buckets are read, pair"),
        ({"read": Override(mode="enfroce")}, "bucket 'read': mode = 'enfroce' can't be used: one of off, shadow"),  # type: ignore[arg-type]
        ({"read": Override(canary_percent=101)}, "bucket 'read': canary_percent = 101 can't be used: a number from 0"),
        ({"read": Override(quotas=())}, "bucket 'read': quotas = () can't be used: give quota= or quotas="),
        ({"pair": Override(quotas=(PAIR.quotas[1],) * 2)}, "bucket 'pair': quotas = ['3600s', '3600s'] can't be used"),
    ],
)
def test_an_override_that_can_not_be_used_is_named(overrides: Mapping[str, Override], message: str) -> None:
    base = Config(buckets=[READ, PAIR])
    with pytest.raises(ConfigurationError) as caught:
        base.overridden(overrides)
    assert str(caught.value).startswith(message)
    assert base.policy("read").source is Source.BUCKET


def test_an_override_changes_a_new_snapshot_only() -> None:
    base = Config(buckets=[READ])
    base.overridden({"read": Override(mode=Mode.OFF)})
    assert base == Config(buckets=[READ])


# --- values given in code


@pytest.mark.parametrize(
    ("fields", "setting"),
    [
        ({"enabled": "false"}, "RATE_LIMIT_ENABLED"),
        ({"enabled": None}, "RATE_LIMIT_ENABLED"),
        ({"shadow": "true"}, "RATE_LIMIT_SHADOW"),
        ({"draft_fields": 1}, "RATE_LIMIT_DRAFT_FIELDS"),
        ({"namespace": None}, "RATE_LIMIT_NAMESPACE"),
        ({"namespace": "a{b}"}, "RATE_LIMIT_NAMESPACE"),
        ({"trusted_proxies": "10.0.0.0/8"}, "RATE_LIMIT_TRUSTED_PROXIES"),
        ({"undecorated": "mode"}, "RATE_LIMIT_UNDECORATED"),
        ({"ipv6_prefix": "64"}, "RATE_LIMIT_IPV6_PREFIX"),
        ({"shadow_flags": {"reed": True}}, "RATE_LIMIT_SHADOW_REED"),
        ({"rules": [Rule("reed", path="/")]}, "RATE_LIMIT_RULES: bucket"),
        ({"buckets": [READ, READ]}, "buckets"),
    ],
)
def test_what_code_gives_is_checked_like_a_setting(fields: dict[str, object], setting: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Config(**{"buckets": [READ], **fields})  # type: ignore[arg-type]  # on purpose
    assert caught.value.setting == setting


def test_a_configuration_can_not_be_changed() -> None:
    """One snapshot a request: a toggle can't flip between a decision and its headers."""
    with pytest.raises(AttributeError):
        Config(buckets=[READ]).enabled = False  # type: ignore[misc]  # on purpose


def test_rules_are_kept_most_exact_first() -> None:
    short, long = Rule("read", path="/a"), Rule("read", path="/a/b")
    assert Config(buckets=[READ], rules=(short, long)).rules == (long, short)


def test_a_long_value_is_cut_in_the_message() -> None:
    message = str(refusal({"RATE_LIMIT_NAMESPACE": "x y" * 10_000}))
    assert len(message) < 400
    assert re.search(r"\.\.\. \(30002 characters\)", message)
