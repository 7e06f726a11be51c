"""A first call that is made in the background, while the process reads manifests."""

from __future__ import annotations

from concurrent.futures import Future
from threading import Thread

from msgspec.structs import replace

from reconciler.adapters.docker import endpoints
from reconciler.adapters.docker.engine import Engine
from reconciler.model.errors import ErrorCode, SwarmctlError
from reconciler.settings import EndpointSettings


class Greeting:
    """An engine that is asked for its version by a thread of its own. Nobody need wait for the answer.

    The thread is a daemon: a process that ends for another reason doesn't wait for an engine that is silent.
    """

    def __init__(self, endpoint: EndpointSettings) -> None:
        self._endpoint = endpoint
        self._answer: Future[Engine] = Future()
        self._answer.set_running_or_notify_cancel()  # whoever stops waiting does not stop the thread
        Thread(target=self._greet, name="docker-greeting", daemon=True).start()

    def _greet(self) -> None:
        try:
            engine = greeted(self._endpoint)
        except BaseException as error:  # noqa: BLE001 - told to whoever asks
            self._answer.set_exception(error)
        else:
            self._answer.set_result(engine)

    async def engine(self) -> Engine:
        """Return the engine once it has answered. Raises what `connect` raises."""
        import asyncio  # the first call need not wait for it

        return await asyncio.wrap_future(self._answer)


async def answers(endpoint: EndpointSettings, within_s: float) -> bool:
    """Return whether an engine has answered anything within so many seconds, over a new connection."""
    import asyncio

    greeting = Greeting(replace(endpoint, request_timeout_s=within_s))
    try:
        async with asyncio.timeout(within_s):
            engine = await greeting.engine()
    except TimeoutError:
        return False
    except SwarmctlError as error:
        return error.code is not ErrorCode.ENGINE_UNREACHABLE  # a refusal is an answer, too
    engine.close()
    return True


def greeted(endpoint: EndpointSettings) -> Engine:
    """Return an engine that has answered, with the API version that both sides know. Blocks."""
    engine = Engine(endpoints.resolve(endpoint), endpoint.request_timeout_s)
    try:
        engine.negotiate()
    except BaseException:
        engine.close()
        raise
    return engine
