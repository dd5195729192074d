"""`{% load ratelimit_dashboard %}`: foreign text and shares, in the dashboard's own templates."""

from django import template

from django_ratelimit_gcra.dashboard import legible, scales

register = template.Library()
register.filter("legible", legible.legible)
register.filter("brief", legible.brief)
register.filter("percent", scales.percent)
