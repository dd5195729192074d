"""`{% load ratelimit %}{% ratelimit_key %}`: an idempotency key in a form, for people without JavaScript."""

from secrets import token_urlsafe

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from django_ratelimit_gcra.fingerprints import FIELD

register = template.Library()


@register.simple_tag
def ratelimit_key() -> SafeString:
    """A hidden field with a key of its own for each rendering: sent twice it is one request, opened twice it is two."""
    return format_html('<input type="hidden" name="{}" value="{}">', FIELD, token_urlsafe(18))
