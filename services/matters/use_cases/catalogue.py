"""Around the matters: areas and departments, and the guide for one situation."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.model.matter import Area, Department
from services.matters.queries import catalogue
from services.matters.schemas.catalogue import AskGuide, Directory
from shared.database import audit
from shared.domain.guides import Bilingual, MatterDocument, PersonalGuide, personal_guide
from shared.errors import FieldError, InvalidInputError
from shared.texts import Choices


async def store_directory(session: AsyncSession, directory: Directory) -> None:
    """Make areas and departments known, or rename them.

    Raises `InvalidInputError` when a department's area is neither known nor in the directory.
    """
    known = {area.code for area in await catalogue.list_areas(session)}
    known |= {area.code for area in directory.areas}
    named = {department.area_code for department in directory.departments}
    missing = sorted(named - known)
    if missing:
        error = FieldError(
            "departments.area_code",
            "known_area",
            message="these areas are not known: {areas}",
            areas=Choices(missing),
        )
        raise InvalidInputError("departments of unknown areas", [error])
    await _store_areas(session, directory)
    await _store_departments(session, directory)
    audit.record(
        session,
        "directory.store",
        object_type="directory",
        object_id="all",
        areas=len(directory.areas),
    )


async def _store_areas(session: AsyncSession, directory: Directory) -> None:
    # A statement must not touch a row twice, so the last name of a code counts.
    names: dict[str, Bilingual] = {area.code: area.name for area in directory.areas}
    if not names:
        return
    rows = [{"code": code, "name": name} for code, name in names.items()]
    statement = insert(Area).values(rows)
    _ = await session.execute(
        statement.on_conflict_do_update(
            index_elements=["code"], set_={"name": statement.excluded.name}
        )
    )


async def _store_departments(session: AsyncSession, directory: Directory) -> None:
    names: dict[tuple[str, str], Bilingual] = {}
    for department in directory.departments:
        names[department.area_code, department.code] = department.name
    if not names:
        return
    rows = [
        {"area_code": area_code, "code": code, "name": name}
        for (area_code, code), name in names.items()
    ]
    statement = insert(Department).values(rows)
    _ = await session.execute(
        statement.on_conflict_do_update(
            index_elements=["area_code", "code"], set_={"name": statement.excluded.name}
        )
    )


def ask_guide(document: MatterDocument, command: AskGuide, *, version: int) -> PersonalGuide:
    """The guide and checklist for one situation, with the digest that freezes it."""
    return personal_guide(document, command.answers, matter_id=command.matter_id, version=version)
