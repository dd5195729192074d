"""What this app keeps in the database."""

from django.db import models
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
