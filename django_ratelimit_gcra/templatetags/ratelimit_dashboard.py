"""`{% load ratelimit_dashboard %}`: foreign text and shares, in the dashboard's own templates."""

from django import template

from django_ratelimit_gcra.dashboard import legible, scales

register = template.Library()
register.filter("legible", legible.legible)
register.filter("brief", legible.brief)
register.filter("percent", scales.percent)


@register.filter
def number(value: int) -> str:
    """With a comma for each thousand, as in the sentences."""
    return f"{value:,}"
