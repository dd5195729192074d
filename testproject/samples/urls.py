"""The samples' addresses, below ``/samples/``.

Each name is the view's key in ``samples.calls``; ``raising`` adds ``_<failure>``, ``decorated_method`` ``_<method>``.
"""

from __future__ import annotations

from django.urls import path

from testproject.samples import views

app_name = "samples"
urlpatterns = [
    path("plain/", views.plain, name="plain"),
    path("undecorated/", views.undecorated, name="undecorated"),
    path("exempted/", views.exempted, name="exempted"),
    path("async/", views.async_view, name="async_view"),
    path("decorated-class/", views.DecoratedClass.as_view(), name="decorated_class"),
    path("decorated-method/", views.DecoratedMethod.as_view(), name="decorated_method"),
    path("decorated-dispatch/", views.DecoratedDispatch.as_view(), name="decorated_dispatch"),
    path("async-class/", views.AsyncClass.as_view(), name="async_class"),
    path("hidden/", views.hidden, name="hidden"),
    path("weighted/", views.weighted, name="weighted"),
    path("stacked/", views.stacked, name="stacked"),
    path("paid/", views.paid, name="paid"),
    path("declined/", views.declined, name="declined"),
    path("stream/", views.stream, name="stream"),
    path("async-stream/", views.async_stream, name="async_stream"),
    path("raising/<str:failure>/", views.raising, name="raising"),
    path("async-raising/<str:failure>/", views.async_raising, name="async_raising"),
]
