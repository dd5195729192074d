"""The pages. Each names its bucket; the methods that a bucket does not name fall to their default bucket."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_safe

from django_ratelimit_gcra.decorators import exempt, ratelimit
from testproject.marketplace import services
from testproject.marketplace.demo import demo_token
from testproject.marketplace.forms import BookingForm, PayForm, PayoutForm, SearchForm
from testproject.marketplace.models import Booking, Instructor
from testproject.marketplace.negotiation import SignedInRequest, done, page, signed_in, submitted
from testproject.marketplace.presentation import booking_data, instructor_data, payment_data, payout_data
from testproject.marketplace.processor import CardDeclined


@exempt
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """What can be tried here; never limited, so that it can always be read."""
    return page(request, "home", {"title": "Lesson marketplace", "token": demo_token("alice")})


@ratelimit(bucket="auth_bootstrap")
@require_safe
def health(request: HttpRequest) -> HttpResponse:
    """For a load balancer; touches neither session nor database."""
    return JsonResponse({"status": "ok"})


@ratelimit(bucket="read")
@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """Instructors by name, subject or city."""
    form = SearchForm(request.GET)
    if not form.is_valid():
        return page(request, "search", {"instructors": []}, form=form, status=400)
    found = services.find_instructors(form.cleaned_data["q"])
    return page(request, "search", {"instructors": [instructor_data(one) for one in found]}, form=form)


@ratelimit(bucket="read")
@require_safe
def instructor(request: HttpRequest, pk: int) -> HttpResponse:
    """An instructor's public profile."""
    return page(request, "instructor", {"instructor": instructor_data(get_object_or_404(Instructor, pk=pk))})


@ratelimit(bucket="read")
@require_safe
@signed_in
def profile(request: SignedInRequest) -> HttpResponse:
    """The user's own account."""
    booked = services.bookings_of(request.user)
    data = {"username": request.user.get_username(), "bookings": [booking_data(one) for one in booked]}
    return page(request, "profile", data)


@ratelimit(bucket="write", methods=["POST"])
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def bookings(request: SignedInRequest) -> HttpResponse:
    """The user's bookings, and a form for a new one."""
    if request.method == "POST":
        form = BookingForm(submitted(request))
        if form.is_valid():
            booking = services.book(request.user, **form.cleaned_data)
            return done(request, booking_data(booking), to=booking, message="Booked.")
    else:
        form = BookingForm(initial={"instructor": request.GET.get("instructor")})
    booked = services.bookings_of(request.user)
    data = {"bookings": [booking_data(one) for one in booked]}
    return page(request, "bookings", data, form=form, status=400 if form.errors else 200)


@ratelimit(bucket="read")
@require_safe
@signed_in
def booking(request: SignedInRequest, pk: int) -> HttpResponse:
    """One booking of the user."""
    return page(request, "booking", {"booking": booking_data(own_booking(request.user, pk))})


@ratelimit(bucket="financial")
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def pay(request: SignedInRequest, pk: int) -> HttpResponse:
    """Pay for a booking; every run of a valid POST charges the card.

    Invalid fields are a 400 and a declined card a 402, for people too: neither is an answer worth replaying.
    """
    booking = own_booking(request.user, pk)
    data = {"booking": booking_data(booking)}
    if request.method != "POST":
        return page(request, "pay", data, form=PayForm())
    form = PayForm(submitted(request))
    if not form.is_valid():
        return page(request, "pay", data, form=form, status=400)
    try:
        payment = services.pay(booking, form.cleaned_data["card"])
    except CardDeclined as declined:
        form.add_error("card", str(declined))
        return page(request, "pay", data, form=form, status=402)
    paid = payment_data(payment)
    return done(request, paid, to=booking, message=f"Paid {paid['amount']} for booking {booking.pk}.")


@ratelimit(bucket="financial")
@require_http_methods(["GET", "HEAD", "POST"])
@signed_in
def payouts(request: SignedInRequest) -> HttpResponse:
    """An instructor's payouts, and a form for a new one."""
    instructor = Instructor.objects.filter(user=request.user).first()
    if instructor is None:
        raise PermissionDenied("Only instructors are paid out.")
    form = PayoutForm(submitted(request) if request.method == "POST" else None)
    if form.is_valid():
        sent = payout_data(services.pay_out(instructor, request.user, form.cleaned_data["amount_cents"]))
        return done(request, sent, to="payouts", message=f"Sent {sent['amount']}.")
    past = instructor.payouts.select_related("instructor", "charge")
    data = {"payouts": [payout_data(one) for one in past]}
    return page(request, "payouts", data, form=form, status=400 if form.errors else 200)


def own_booking(student: User, pk: int) -> Booking:
    """A booking of this student; raises Http404 for anybody else's."""
    return get_object_or_404(services.bookings_of(student), pk=pk)
