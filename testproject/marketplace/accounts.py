"""Logging in and out with a session; a script asks for the form first, as JSON, to learn the CSRF token."""

from __future__ import annotations

from django.conf import settings
from django.contrib import auth
from django.contrib.auth.forms import AuthenticationForm
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.middleware.csrf import get_token
from django.shortcuts import redirect, resolve_url
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from django_ratelimit_gcra.decorators import ratelimit
from testproject.marketplace.negotiation import page, submitted, wants_json


@ratelimit(bucket="auth_bootstrap")
@require_http_methods(["GET", "HEAD", "POST"])
def login(request: HttpRequest) -> HttpResponse:
    """Start a session."""
    form = AuthenticationForm(request, submitted(request) if request.method == "POST" else None)
    if form.is_valid():
        auth.login(request, form.get_user())
        if not wants_json(request):
            return redirect(after_login(request))
        data = {"username": form.get_user().get_username(), "csrf_token": get_token(request)}
        return JsonResponse({**data, "next": after_login(request)})
    data = {"csrf_token": get_token(request), "next": request.GET.get("next", "")}
    return page(request, "login", data, form=form, status=400 if form.errors else 200)


@ratelimit(bucket="auth_bootstrap")
@require_POST
def logout(request: HttpRequest) -> HttpResponse:
    """End the session."""
    auth.logout(request)
    return JsonResponse({"username": None}) if wants_json(request) else redirect(settings.LOGOUT_REDIRECT_URL)


@ratelimit(bucket="auth_bootstrap")
@require_safe
def session(request: HttpRequest) -> HttpResponse:
    """Whose session this is; 401 without one."""
    if not request.user.is_authenticated:
        return JsonResponse({"username": None}, status=401)
    return JsonResponse({"username": request.user.get_username()})


def after_login(request: HttpRequest) -> str:
    """Where the person wanted to go, if that is on this site."""
    wanted = request.GET.get("next", "")
    safe = url_has_allowed_host_and_scheme(wanted, {request.get_host()}, require_https=request.is_secure())
    return str(wanted if safe else resolve_url(settings.LOGIN_REDIRECT_URL))
