"""The services' databases, as the environment names them."""

from deploy.processes import SERVICES
from shared.settings import database_url


def database_urls() -> dict[str, str]:
    """The URL of each service's database: `<SERVICE>_DATABASE_URL`.

    Ends the process with status 2 and the name of the setting when one is missing.
    """
    return {service: database_url(service) for service in SERVICES}
