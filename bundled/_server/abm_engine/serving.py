"""An engine as a process: its arguments, its log, its end."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from abm_engine.engine import Engine, Reject
from abm_engine.requests import Invalid
from abm_engine.server import Contract

END_SECONDS = 2
log = logging.getLogger("abm_engine")


async def _refused(request: Request, error: Exception) -> Response:
    """Every error as `{"detail": ...}`."""
    if isinstance(error, Invalid):
        return JSONResponse({"detail": error.detail}, status_code=422)
    if isinstance(error, Reject):
        return JSONResponse({"detail": error.detail}, status_code=error.status)
    if isinstance(error, HTTPException):
        detail = {"detail": error.detail}
        return JSONResponse(detail, status_code=error.status_code, headers=error.headers)
    return JSONResponse({"detail": f"{type(error).__name__}: {error}"}, status_code=500)


def application(contract: Contract) -> Starlette:
    handlers = dict.fromkeys((Reject, Invalid, HTTPException, Exception), _refused)
    return Starlette(routes=contract.routes(), exception_handlers=handlers)  # type: ignore[arg-type]


def serve(engine: Engine) -> None:
    """Serve `engine` until /shutdown or a signal: `--port N [--host A]`, or PORT."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=int(os.environ.get("PORT", "8766")))
    parser.add_argument("--host", default="127.0.0.1")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    contract = Contract(engine)
    server = uvicorn.Server(
        uvicorn.Config(
            application(contract),
            host=asked.host,
            port=asked.port,
            log_level="warning",
            access_log=False,
            timeout_graceful_shutdown=END_SECONDS,
        )
    )
    contract.end = lambda: setattr(server, "should_exit", True)
    log.info("%s listens on %s:%s", engine.definition["name"], asked.host, asked.port)
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    # A model that still works in its thread would hold the process until it has finished, also
    # after SIGTERM: as process 1 of a container the signal alone ends nobody.
    logging.shutdown()
    os._exit(0)
