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
