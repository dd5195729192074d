"""Which sinks the settings ask for, beside those that `runtime.use_sinks` names."""

from collections.abc import Iterable, Iterator
from typing import Protocol, runtime_checkable

from django_ratelimit_gcra import conf
from ratelimit_core import Config, ConfigurationError, Sink


@runtime_checkable
class PolicyWatcher(Protocol):
    """A sink that wants to know which policies are in force."""

    def policy(self, config: Config) -> None: ...


@runtime_checkable
class LossCounter(Protocol):
    """A sink that counts what another one could not keep."""

    def dropped(self, number: int) -> None: ...


def default_sinks(config: Config) -> tuple[Sink, ...]:
    """The sinks that the settings ask for; raises ConfigurationError for one that can't be had."""
    metrics = tuple(_metrics(config))
    return (*metrics, *_records(metrics))


def announce(sinks: Iterable[Sink], config: Config) -> None:
    """Tell the sinks that want to know that this configuration is in force now."""
    for sink in sinks:
        if isinstance(sink, PolicyWatcher):
            sink.policy(config)


def _records(metrics: Iterable[Sink]) -> Iterator[Sink]:
    """The recorder, which tells the metrics what it loses."""
    if conf.RECORD.value():
        from django_ratelimit_gcra.recording import recorder  # it needs the models, which need the apps

        recorder.on_drop = next((sink.dropped for sink in metrics if isinstance(sink, LossCounter)), None)
        yield recorder


def _metrics(config: Config) -> Iterator[Sink]:
    if not conf.METRICS.value():
        return
    try:
        from ratelimit_core.metrics import PrometheusSink
    except ModuleNotFoundError as error:
        install = "install prometheus_client: pip install 'django-ratelimit-gcra[prometheus]'"
        raise ConfigurationError(conf.METRICS.name, "true", install) from error
    yield PrometheusSink(config)
