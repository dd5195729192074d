"""Settling an admission so that nothing is left behind: neither by a cancelled task nor by two ends of a request."""

import asyncio

from ratelimit_core import Admission, Limiter
from ratelimit_core.commands import Outcome


async def settle(limiter: Limiter, admission: Admission, outcome: Outcome) -> None:
    """Settle, and be done when this returns; a cancellation that arrives meanwhile is raised afterwards.

    The wait is bounded by the store's deadline. An unshielded release would be lost with the cancelled task.
    """
    task = asyncio.ensure_future(limiter.asettle(admission, outcome))
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    task.result()
