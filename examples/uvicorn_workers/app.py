"""FastAPI in several uvicorn workers. One of them supervises, the others stand by; all of them answer."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response

from dozor import Runner


def end_worker(failed: "asyncio.Future[Exception]") -> None:
    """This worker cannot supervise any more: it ends, and uvicorn starts another one in its place."""
    if not failed.cancelled():
        print("this worker ends:", failed.result(), flush=True)
        os.kill(os.getpid(), signal.SIGTERM)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Runner.from_config("config.yaml", grace=5.0) as runner:  # does not wait until it leads
        runner.failed.add_done_callback(end_worker)
        app.state.runner = runner
        yield
    if runner.unstopped:  # runs that ignore their cancellation: asyncio would wait for them without end
        os._exit(1)


app = FastAPI(lifespan=lifespan)


@app.get("/")
async def which(request: Request) -> dict[str, object]:
    return {"pid": os.getpid(), "leads": request.app.state.runner.leads}


@app.get("/ready")
async def ready(request: Request, response: Response) -> dict[str, object]:
    found = request.app.state.runner.readiness()  # of a standby: the database answers, and a leader leads
    response.status_code = 200 if found.ready else 503
    return {"ready": found.ready, "reasons": found.reasons}
