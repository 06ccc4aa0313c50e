"""What endpoints get from FastAPI, whoever calls."""

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Request

from services.exchange.settings import Settings
from shared.database.acts import Act
from shared.http.dependencies import act_by, current_time, settings_of
from shared.runtime.http_client import Endpoints
from shared.security.auth import current_caller, with_role

Config = Annotated[Settings, Depends(settings_of(Settings))]


# This waits for nothing and is async all the same: FastAPI hands a plain function to a thread.
async def _endpoints(request: Request) -> Endpoints:
    return request.app.state.endpoints


Calls = Annotated[Endpoints, Depends(_endpoints)]
"""The client that calls endpoints of peers."""
CallerAct = Annotated[Act[datetime], Depends(act_by(current_caller, current_time))]
"""An act on a versioned record; another dependency decides whether the caller may do it."""
AdministratorAct = Annotated[
    Act[datetime], Depends(act_by(with_role("administrator"), current_time))
]
