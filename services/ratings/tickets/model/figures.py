"""What a rating counts for, with its ticket and appeal."""

from services.ratings.rating.model.rating import Rating
from services.ratings.statistics.model.counts import Figures, figures_of_rating
from services.ratings.tickets.model.appeal import Appeal
from services.ratings.tickets.model.ticket import Ticket


def figures(rating: Rating, ticket: Ticket | None, *, appeal: Appeal | None) -> Figures:
    """What a rating counts for as things are now (`statistics.queries.CELLS` is the same rule)."""
    counted = figures_of_rating(rating)
    # Of an excluded rating nothing counts but that it is excluded, and its appeal.
    if ticket is not None and rating.excluded_on is None:
        if rating.is_bad:
            _count_handling(counted, rating, ticket=ticket)
        if ticket.satisfied is not None:
            counted["rerated"] = 1
        if ticket.satisfied:
            counted["satisfied"] = 1
    if appeal is not None:
        _count_appeal(counted, appeal)
    return counted


def _count_appeal(counted: Figures, appeal: Appeal) -> None:
    if appeal.decided_on is None:
        return
    counted["appeals_decided"] = 1
    if appeal.upheld:
        counted["appeals_upheld"] = 1


def _count_handling(counted: Figures, rating: Rating, *, ticket: Ticket) -> None:
    if rating.real_name and ticket.called_back_on is not None:
        counted["called_back"] = 1
    if ticket.rectified_on is not None:
        counted["rectified"] = 1
        counted["rectify_due"] = 1
        if ticket.rectified_on <= ticket.rectify_due_on:
            counted["rectified_in_time"] = 1
    elif ticket.rectify_late:
        counted["rectify_due"] = 1
