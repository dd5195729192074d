"""The REST API.

Django REST framework knows the user only inside the view, so its throttle admits, not the middleware.
"""

from __future__ import annotations

from typing import Any, cast

from django.contrib.auth.models import User
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from django_ratelimit_gcra.throttling import BucketThrottle
from testproject.marketplace import services
from testproject.marketplace.models import Instructor
from testproject.marketplace.presentation import booking_data, instructor_data, payment_data
from testproject.marketplace.processor import CardDeclined


class BookingInput(serializers.Serializer[Any]):
    """With whom and when."""

    instructor = serializers.PrimaryKeyRelatedField(queryset=Instructor.objects.all())
    starts_at = serializers.DateTimeField()


class PayInput(serializers.Serializer[Any]):
    """A card number."""

    card = serializers.RegexField(r"^\d{16}$")


class Instructors(APIView):
    """Search instructors; open to everybody."""

    throttle_classes = [BucketThrottle]
    throttle_bucket = "read"

    def get(self, request: Request) -> Response:
        """List the instructors that match ``?q=``."""
        found = services.find_instructors(request.query_params.get("q", ""))
        return Response([instructor_data(one) for one in found])


class Bookings(APIView):
    """Book lessons."""

    permission_classes = [IsAuthenticated]
    throttle_classes = [BucketThrottle]
    throttle_bucket = "write"

    def post(self, request: Request) -> Response:
        """Book one lesson for the user."""
        fields = validated(BookingInput(data=request.data))
        return Response(booking_data(services.book(student(request), **fields)), status=201)


class Pay(APIView):
    """Pay for a booking."""

    permission_classes = [IsAuthenticated]
    throttle_classes = [BucketThrottle]
    throttle_bucket = "financial"

    def post(self, request: Request, pk: int) -> Response:
        """Charge the card; every run charges."""
        booking = get_object_or_404(services.bookings_of(student(request)), pk=pk)
        fields = validated(PayInput(data=request.data))
        try:
            return Response(payment_data(services.pay(booking, **fields)), status=201)
        except CardDeclined as declined:
            return Response({"detail": str(declined)}, status=402)


def student(request: Request) -> User:
    """The user; IsAuthenticated has let nobody else in."""
    return cast("User", request.user)


def validated(serializer: serializers.Serializer[Any]) -> dict[str, Any]:
    """The clean fields; raises DRF's ValidationError (400)."""
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)
