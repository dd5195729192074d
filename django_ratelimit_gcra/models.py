"""What this app keeps in the database."""

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class IdempotencyRecord(models.Model):
    """The proof that a request was carried out: written in the transaction of what it did.

    A row that others can see has an answer. `identity` and `name` are those of the store's record; `body` is None where
    only the status could be kept.
    """

    identity = models.CharField(_("identity"), max_length=80)
    name = models.CharField(_("record"), max_length=64)
    bucket = models.CharField(_("bucket"), max_length=32)
    fingerprint = models.CharField(_("fingerprint"), max_length=64)
    status = models.PositiveSmallIntegerField(_("status"), default=0)
    headers = models.JSONField(_("headers"), default=list)
    body = models.BinaryField(_("body"), null=True)
    created = models.DateTimeField(_("created"))
    expires = models.DateTimeField(_("expires"), db_index=True)

    class Meta:
        """One row a record; the body may hold what only its user may read."""

        verbose_name = _("idempotency record")
        verbose_name_plural = _("idempotency records")
        constraints = [models.UniqueConstraint(fields=["identity", "name"], name="ratelimit_record")]
        permissions = [("view_answer", "Can view the answers in idempotency records")]

    def __str__(self) -> str:
        return f"{self.identity} {self.name[:12]}"


class DecisionMinute(models.Model):
    """What one bucket decided on one route within a minute; every process adds to the same row.

    `blocked` were refused, `would_block` would have been but for the mode: a refusal is in one of the two. `replayed`
    got an earlier answer again. The `wait_` columns count the refusals by how long to wait, up to so many seconds;
    those that waiting can't help are in none. `lost` are events of which a part could not be kept. After two hours the
    row of a minute may be that of twenty: `recording.rolling`.
    """

    minute = models.DateTimeField(_("minute"), db_index=True)
    bucket = models.CharField(_("bucket"), max_length=32)
    route = models.CharField(_("route"), max_length=200)
    requests = models.PositiveBigIntegerField(_("requests"), default=0)
    enforced = models.PositiveBigIntegerField(_("enforced"), default=0)
    blocked = models.PositiveBigIntegerField(_("blocked"), default=0)
    would_block = models.PositiveBigIntegerField(_("would be blocked"), default=0)
    replayed = models.PositiveBigIntegerField(_("replayed"), default=0)
    degraded = models.PositiveBigIntegerField(_("degraded"), default=0)
    wait_1 = models.PositiveBigIntegerField(_("waits up to 1 s"), default=0)
    wait_2 = models.PositiveBigIntegerField(_("waits up to 2 s"), default=0)
    wait_5 = models.PositiveBigIntegerField(_("waits up to 5 s"), default=0)
    wait_10 = models.PositiveBigIntegerField(_("waits up to 10 s"), default=0)
    wait_30 = models.PositiveBigIntegerField(_("waits up to 30 s"), default=0)
    wait_60 = models.PositiveBigIntegerField(_("waits up to 60 s"), default=0)
    wait_120 = models.PositiveBigIntegerField(_("waits up to 120 s"), default=0)
    wait_300 = models.PositiveBigIntegerField(_("waits up to 300 s"), default=0)
    wait_more = models.PositiveBigIntegerField(_("longer waits"), default=0)
    lost = models.PositiveBigIntegerField(_("lost"), default=0)

    class Meta:
        """One row a minute, bucket and route; in the order in which reports read them."""

        verbose_name = _("decisions of a minute")
        verbose_name_plural = _("decisions by minute")
        default_permissions = ()  # the dashboard shows them, under its own
        constraints = [
            models.UniqueConstraint(fields=["bucket", "minute", "route"], name="ratelimit_decision_minute"),
        ]
        indexes = [
            # Few rows have refusals, and half of a report is about those.
            models.Index(
                fields=["bucket", "minute"],
                condition=models.Q(blocked__gt=0) | models.Q(would_block__gt=0),
                name="ratelimit_decision_refused",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.bucket} {self.route}"


class IdentityMinute(models.Model):
    """One identity that was refused, or would have been, within a minute; of each minute only the worst.

    `identity` is spelled as RATE_LIMIT_RECORD_IDENTITIES says, `route` is where it was refused most.
    """

    minute = models.DateTimeField(_("minute"), db_index=True)
    bucket = models.CharField(_("bucket"), max_length=32)
    identity = models.CharField(_("identity"), max_length=200)
    route = models.CharField(_("route"), max_length=200)
    requests = models.PositiveBigIntegerField(_("requests"), default=0)
    blocked = models.PositiveBigIntegerField(_("blocked"), default=0)
    would_block = models.PositiveBigIntegerField(_("would be blocked"), default=0)

    class Meta:
        """One row a minute, bucket and identity; the index is for one identity's time line."""

        verbose_name = _("refused identity of a minute")
        verbose_name_plural = _("refused identities by minute")
        default_permissions = ()  # the dashboard shows them, under its own
        constraints = [
            models.UniqueConstraint(fields=["bucket", "minute", "identity"], name="ratelimit_identity_minute"),
        ]
        indexes = [models.Index(fields=["bucket", "identity", "minute"], name="ratelimit_identity_line")]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.bucket} {self.identity}"


class ArrivalSample(models.Model):
    """Who came when to a bucket: the arrivals that one process saw from a share of all identities.

    `data` is what `recording.packing.pack` makes; identities are in it as keyed hashes.
    """

    minute = models.DateTimeField(_("minute"), db_index=True)
    bucket = models.CharField(_("bucket"), max_length=32)
    share = models.FloatField(_("share"))
    arrivals = models.PositiveIntegerField(_("arrivals"))
    data = models.BinaryField(_("data"))

    class Meta:
        """Read by bucket and time."""

        verbose_name = _("arrival sample")
        verbose_name_plural = _("arrival samples")
        default_permissions = ()  # the dashboard shows them, under its own
        indexes = [models.Index(fields=["bucket", "minute"], name="ratelimit_arrivals")]

    def __str__(self) -> str:
        return f"{self.minute:%Y-%m-%d %H:%M} {self.bucket}"


class PolicyOverride(models.Model):
    """A policy that was changed at run time: one row a change, kept as history; only `switching` writes here.

    A row is in force until it expires or is undone; then what stood before it stands again. What it leaves None is left
    to older rows in force and to the settings. A row without a bucket is the kill switch.
    """

    bucket = models.CharField(_("bucket"), max_length=32, blank=True)
    mode = models.CharField(_("mode"), max_length=10, null=True)  # noqa: DJ001 - None leaves it as it is
    canary_percent = models.FloatField(_("share of a canary, in percent"), null=True)
    quotas = models.JSONField(_("quotas"), null=True)
    reason = models.CharField(_("reason"), max_length=500)
    by = models.CharField(_("by"), max_length=200)
    created = models.DateTimeField(_("created"))
    expires = models.DateTimeField(_("expires"), null=True)
    undone = models.DateTimeField(_("undone"), null=True)
    undone_by = models.CharField(_("undone by"), max_length=200, blank=True)
    undone_reason = models.CharField(_("reason of undoing"), max_length=500, blank=True)

    class Meta:
        """Who may look, switch, and take a protection away."""

        verbose_name = _("policy override")
        verbose_name_plural = _("policy overrides")
        default_permissions = ["view"]
        permissions = [
            ("view_dashboard", "Can view the dashboard of rate limits"),
            ("view_identities", "Can see whom the rate limits refuse"),
            ("switch_policy", "Can switch the policy of a bucket"),
            ("weaken_policy", "Can weaken a bucket that is shielded or fails closed"),
            ("reset_live", "Can reset what somebody has spent or holds"),
        ]

    def __str__(self) -> str:
        return f"override {self.pk} of {self.bucket or 'the kill switch'}"

    @property
    def standing(self) -> str:
        """What has become of it."""
        if self.undone is not None:
            return "undone"
        return "expired" if self.expires is not None and self.expires <= timezone.now() else "in force"


class Dashboard(PolicyOverride):
    """The dashboard's place in the admin: no table of its own; whoever may view it sees it in the index."""

    class Meta:
        """The permission to view is the override's `view_dashboard`."""

        proxy = True
        verbose_name = _("dashboard")
        verbose_name_plural = _("dashboard")
        default_permissions = ()
