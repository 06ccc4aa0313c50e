"""What the service can do: one function per verb, one file per resource."""

from services.licenses.use_cases.acts import (
    change_license,
    end_license,
    release_license,
    renew_license,
    suspend_license,
    transfer_license,
)
from services.licenses.use_cases.checks import check_license, forget_tries
from services.licenses.use_cases.collect import collect
from services.licenses.use_cases.expiry import expire_due
from services.licenses.use_cases.issue import issue_for_case, issue_license
from services.licenses.use_cases.jobs import sign_batch, start_job
from services.licenses.use_cases.keys import list_keys, rotate_key
from services.licenses.use_cases.links import link_organisation, link_person
from services.licenses.use_cases.statistics import fold_counts, get_statistics
from services.licenses.use_cases.types import publish_type
from services.licenses.use_cases.uses import (
    authorise,
    count_intakes,
    count_refusal,
    log_case_use,
    use_license,
    withdraw_authorisation,
)

__all__ = [
    "authorise",
    "change_license",
    "check_license",
    "collect",
    "count_intakes",
    "count_refusal",
    "end_license",
    "expire_due",
    "fold_counts",
    "forget_tries",
    "get_statistics",
    "issue_for_case",
    "issue_license",
    "link_organisation",
    "link_person",
    "list_keys",
    "log_case_use",
    "publish_type",
    "release_license",
    "renew_license",
    "rotate_key",
    "sign_batch",
    "start_job",
    "suspend_license",
    "transfer_license",
    "use_license",
    "withdraw_authorisation",
]
