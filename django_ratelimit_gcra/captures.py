"""How a view ended, in the core's words: what is kept of its response, and which exceptions are answers."""

import sys
from asyncio import CancelledError
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

from django.core.exceptions import BadRequest, PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.http.multipartparser import MultiPartParserError
from django.http.response import HttpResponseBase
from django.template.response import SimpleTemplateResponse

from ratelimit_core.answers import Result

Response = TypeVar("Response")

_ANSWERS: tuple[tuple[type[Exception], int], ...] = (
    (Http404, 404),
    (PermissionDenied, 403),
    (SuspiciousOperation, 400),
    (BadRequest, 400),
    (MultiPartParserError, 400),
)


def result_of(response: object, released: str | None = None, *, raised: bool = False) -> Result:
    """The result of a view that returned this response; anything that is no response is an error of the view."""
    if not isinstance(response, HttpResponseBase):
        return Result(released=released, raised=True)
    known = not response.streaming and getattr(response, "is_rendered", True)
    body = response.content if known else None  # type: ignore[attr-defined]  # every response but a stream has it
    return Result(response.status_code, tuple(response.headers.items()), body, released, raised)


def result_of_error(error: BaseException, released: str | None = None) -> Result:
    """The result of a view that raised: an answer where Django makes one of it, else in doubt."""
    status = status_of(error)
    if isinstance(error, CancelledError):
        return Result(released=released, raised=True, cut=True)
    return Result(released=released, raised=True) if status is None else Result(status, released=released)


def when_known(response: object, keep: Callable[[HttpResponseBase], object]) -> None:
    """Call `keep` with a whole response, once it has its content; a stream never has."""
    if isinstance(response, SimpleTemplateResponse) and not response.is_rendered:
        response.add_post_render_callback(keep)
    elif isinstance(response, HttpResponseBase) and not response.streaming:
        keep(response)


def status_of(error: BaseException) -> int | None:
    """The status of the answer that Django or REST framework makes of an exception; None where it is a failure."""
    for kind, status in _ANSWERS:
        if isinstance(error, kind):
            return status
    framework = sys.modules.get("rest_framework.exceptions")
    return error.status_code if framework is not None and isinstance(error, framework.APIException) else None


def is_failure(error: BaseException) -> bool:
    """Whether an exception leaves the outcome in doubt, whatever answer somebody makes of it."""
    status = status_of(error)
    return status is None or status >= 500


def renders_itself(response: object) -> bool:
    """Whether this is a template's response that nobody has rendered yet, and anybody can."""
    return isinstance(response, SimpleTemplateResponse) and not response.is_rendered and not _is_rest(response)


def rendered(response: Response) -> Response:
    """The response, rendered if it is a template's: its errors are the view's."""
    if renders_itself(response):
        response.render()  # type: ignore[attr-defined]  # a template's response has it
    return response


def _is_rest(response: object) -> bool:
    framework = sys.modules.get("rest_framework.response")
    return framework is not None and isinstance(response, framework.Response)


class StreamEnd:
    """The end of a streamed response: it comes once, with the last byte, an error, or `close()`.

    `settle` and `asettle` are told how the stream ended. Django closes a response when all was sent, and a client
    that asks again at once would find the request still being worked on: so the iterator's own end counts. A stream
    that was closed before its last byte was cut: what its view still meant to do nobody knows.
    """

    def __init__(
        self,
        response: HttpResponseBase,
        result: Result,
        settle: Callable[[Result], object],
        asettle: Callable[[Result], Awaitable[object]],
    ) -> None:
        self._result = result
        self._settle = settle
        self._asettle = asettle
        self._over = False
        self._whole = False
        self._watch(response)

    def _watch(self, response: Any) -> None:
        close = response.close

        def closing() -> None:
            try:
                close()
            finally:
                self._end()

        response.close = closing
        if getattr(response, "file_to_stream", None) is not None:
            self._whole = True  # a server may send a file by itself, and nothing is done on its way
        else:
            content = response.streaming_content
            response.streaming_content = self._achunks(content) if response.is_async else self._chunks(content)

    def _chunks(self, content: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from content
            self._whole = True
        except Exception:  # whatever ends the view's generator, it may have done its work
            self._result = self._result._replace(raised=True)
            raise
        finally:
            self._end()

    async def _achunks(self, content: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        try:
            async for chunk in content:
                yield chunk
            self._whole = True
        except Exception:  # the same
            self._result = self._result._replace(raised=True)
            raise
        finally:
            if not self._over:
                self._over = True
                await self._asettle(self._ending())

    def _end(self) -> None:
        if not self._over:
            self._over = True
            self._settle(self._ending())

    def _ending(self) -> Result:
        return self._result if self._whole or self._result.raised else self._result._replace(cut=True)
