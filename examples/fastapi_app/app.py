"""FastAPI with a runner in its lifespan."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response

from dozor import Runner


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with Runner.from_config("config.yaml", grace=5.0) as runner:
        app.state.runner = runner
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/ready")
async def ready(request: Request, response: Response) -> dict[str, object]:
    found = request.app.state.runner.readiness()
    response.status_code = 200 if found.ready else 503
    return {"ready": found.ready, "reasons": found.reasons}
