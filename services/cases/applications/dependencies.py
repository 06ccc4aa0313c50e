"""What endpoints that take applications need from the process."""

from typing import Annotated

from fastapi import Depends, Request

from services.cases.applications.use_cases.numbers import CaseNumberAllocator


async def case_numbers(request: Request) -> CaseNumberAllocator:
    """The allocator of this process."""
    return request.app.state.case_numbers


CaseNumbers = Annotated[CaseNumberAllocator, Depends(case_numbers)]
