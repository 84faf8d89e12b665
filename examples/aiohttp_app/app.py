"""aiohttp with a runner in a cleanup context."""

from collections.abc import AsyncIterator

from aiohttp import web

from dozor import Runner

RUNNER = web.AppKey("runner", Runner)


async def supervision(app: web.Application) -> AsyncIterator[None]:
    async with Runner.from_config("config.yaml", grace=5.0) as runner:
        app[RUNNER] = runner
        yield


async def ready(request: web.Request) -> web.Response:
    found = request.app[RUNNER].readiness()
    body = {"ready": found.ready, "reasons": list(found.reasons)}
    return web.json_response(body, status=200 if found.ready else 503)


def application() -> web.Application:
    app = web.Application()
    app.cleanup_ctx.append(supervision)
    app.router.add_get("/ready", ready)
    return app


if __name__ == "__main__":
    import sys

    web.run_app(application(), host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 8080)
