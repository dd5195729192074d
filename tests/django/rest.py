"""A URL conf of REST framework views for the tests of the throttle."""

from django.urls import include, path
from rest_framework.authentication import SessionAuthentication, TokenAuthentication
from rest_framework.decorators import action, api_view, throttle_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from django_ratelimit_gcra.decorators import exempt
from django_ratelimit_gcra.state import RateLimitState, state_of
from django_ratelimit_gcra.throttling import BucketThrottle
from testproject.samples import called


def bucket_of(request: Request) -> str | None:
    """What the view finds: REST framework's request hands on the attributes of Django's."""
    state: RateLimitState = request.ratelimit  # type: ignore[attr-defined]  # the throttle writes it
    return state.decision and state.decision.bucket


class WriteThrottle(BucketThrottle):
    bucket = "write"


class ReadThrottle(BucketThrottle):
    bucket = "read"


class Never(BaseThrottle):
    """Somebody else's throttle, which refuses everything."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        return False

    def wait(self) -> float:
        return 7.2


class Answering(APIView):
    authentication_classes = [TokenAuthentication, SessionAuthentication]
    throttle_classes = [BucketThrottle]

    def get(self, request: Request) -> Response:
        return self.answer(request)

    def post(self, request: Request) -> Response:
        return self.answer(request)

    def answer(self, request: Request) -> Response:
        called(type(self).__name__)
        decision = state_of(request).decision
        return Response({"bucket": bucket_of(request), "identity": str(decision and decision.identity)})


class Write(Answering):
    throttle_bucket = "write"


class Financial(Answering):
    throttle_bucket = "financial"


class SessionFinancial(Financial):
    """Its first authentication has no challenge, which makes REST framework's own 401 a 403."""

    authentication_classes = [SessionAuthentication]


class Members(Write):
    permission_classes = [IsAuthenticated]


class Unnamed(Answering):
    pass


class Costly(Write):
    throttle_cost = 2


class Weighted(Write):
    def throttle_cost(self, request: Request) -> int:
        return int(request.query_params["cost"])


class CostlyFinancial(Financial):
    """Its cost is one for its own bucket and would never fit into the one that reading it is charged to."""

    throttle_cost = 11


class CostlyUnnamed(Answering):
    throttle_cost = 2


class Twice(Answering):
    throttle_classes = [WriteThrottle, WriteThrottle]


class Both(Answering):
    throttle_classes = [ReadThrottle, WriteThrottle]


class Crowded(Write):
    throttle_classes = [BucketThrottle, Never]


class Things(ViewSet):
    authentication_classes = [TokenAuthentication]
    throttle_classes = [BucketThrottle]
    throttle_bucket = "read"

    def list(self, request: Request) -> Response:
        return Response({"bucket": bucket_of(request)})

    @action(detail=False, methods=["post"], throttle_bucket="write")
    def shake(self, request: Request) -> Response:
        called("shake")
        return Response({"bucket": bucket_of(request)})


@api_view(["GET", "POST"])
@throttle_classes([WriteThrottle])
def function(request: Request) -> Response:
    called("function")
    return Response({"bucket": bucket_of(request)})


router = SimpleRouter()
router.register("things", Things, basename="things")


@exempt
class Spared(Answering):
    throttle_bucket = "write"


urlpatterns = [
    path("spared/", Spared.as_view()),
    path("write/", Write.as_view()),
    path("financial/", Financial.as_view()),
    path("session-financial/", SessionFinancial.as_view()),
    path("members/", Members.as_view()),
    path("unnamed/", Unnamed.as_view(), name="unnamed"),
    path("costly/", Costly.as_view()),
    path("weighted/", Weighted.as_view()),
    path("costly-unnamed/", CostlyUnnamed.as_view()),
    path("costly-financial/", CostlyFinancial.as_view()),
    path("twice/", Twice.as_view()),
    path("both/", Both.as_view()),
    path("crowded/", Crowded.as_view()),
    path("function/", function),
    path("", include(router.urls)),
]
