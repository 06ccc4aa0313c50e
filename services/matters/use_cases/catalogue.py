"""Around the matters: areas and departments, and the guide for one situation."""

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from services.matters.model.matter import Area, Department
from services.matters.queries import catalogue
from services.matters.schemas.catalogue import AskGuide, Directory
from shared.database import audit
from shared.domain.guides import MatterDocument, PersonalGuide, personal_guide
from shared.errors import FieldError, InvalidInputError


async def store_directory(session: AsyncSession, directory: Directory) -> None:
    """Make areas and departments known, or rename them."""
    known = {area.code for area in await catalogue.list_areas(session)} | {
        area.code for area in directory.areas
    }
    missing = sorted({department.area_code for department in directory.departments} - known)
    if missing:
        raise InvalidInputError(
            "departments of unknown areas",
            [FieldError("departments.area_code", "known_area", ", ".join(missing))],
        )
    for table, keys, entries in (
        (Area, ["code"], directory.areas),
        (Department, ["area_code", "code"], directory.departments),
    ):
        rows = list(
            {
                tuple(getattr(e, key) for key in keys): e.model_dump(mode="json") for e in entries
            }.values()
        )
        if rows:
            statement = insert(table).values(rows)
            update = {"name": statement.excluded.name}
            _ = await session.execute(
                statement.on_conflict_do_update(index_elements=keys, set_=update)
            )
    audit.record(session, "directory.store", "directory", "all", areas=len(directory.areas))


def ask_guide(document: MatterDocument, command: AskGuide, version: int) -> PersonalGuide:
    """The guide and checklist for one situation, with the digest that freezes it."""
    return personal_guide(document, command.answers, matter_id=command.matter_id, version=version)
