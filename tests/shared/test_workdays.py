"""Working days: Lhasa's calendar, and laws of counting that hold for every date."""

from datetime import date, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.workdays import WorkCalendar, due_moment, seed_calendar

LHASA = seed_calendar()
DAYS = st.dates(date(2021, 1, 4), date(2027, 6, 30))


@pytest.mark.parametrize(
    ("day", "working"),
    [
        (date(2026, 2, 13), True),
        (date(2026, 2, 14), True),
        (date(2026, 2, 15), False),
        (date(2026, 2, 26), False),
        (date(2026, 2, 27), True),
        (date(2026, 2, 28), True),
        (date(2023, 2, 18), True),
        (date(2023, 2, 20), False),
        (date(2025, 3, 4), False),
        (date(2026, 10, 1), False),
    ],
)
def test_lhasa_vectors(day: date, working: bool) -> None:
    assert LHASA.is_working(day) is working


def test_start_day_is_not_counted_and_losar_is_skipped() -> None:
    assert LHASA.add_working_days(date(2026, 2, 12), 5) == date(2026, 3, 2)
    assert LHASA.add_working_days(date(2026, 2, 12), 0) == date(2026, 2, 12)
    assert LHASA.next_working_day(date(2026, 2, 20)) == date(2026, 2, 27)
    assert due_moment(date(2026, 3, 2), time(18, 30)).isoformat() == "2026-03-02T18:30:00+08:00"


def test_unannounced_year_is_provisional() -> None:
    assert not LHASA.is_provisional(date(2026, 1, 5), end=date(2026, 12, 31))
    assert LHASA.is_provisional(
        date(2026, 12, 20), end=LHASA.add_working_days(date(2026, 12, 20), 20)
    )


def test_days_are_never_added_backward() -> None:
    with pytest.raises(ValueError, match="forward"):
        _ = LHASA.add_working_days(date(2026, 1, 5), -1)


@given(DAYS, st.integers(1, 400))
def test_adding_and_counting_are_inverse(start: date, number: int) -> None:
    end = LHASA.add_working_days(start, number)

    assert LHASA.is_working(end)
    assert LHASA.working_days_between(start, end=end) == number
    assert LHASA.working_days_between(end, end=start) == -number


@given(DAYS, st.integers(0, 60), st.integers(0, 60))
def test_adding_in_two_steps_is_adding_at_once(start: date, first: int, second: int) -> None:
    stepped = LHASA.add_working_days(LHASA.add_working_days(start, first), second)

    assert stepped == LHASA.add_working_days(start, first + second)


@given(st.dates(date(1990, 1, 1), date(2060, 1, 1)), st.integers(1, 30))
def test_dates_beyond_the_layout_are_walked(start: date, number: int) -> None:
    plain = WorkCalendar({})
    end = plain.add_working_days(start, number)

    assert (
        sum((start + timedelta(days=n)).weekday() < 5 for n in range(1, (end - start).days + 1))
        == number
    )
    assert plain.working_days_between(start, end=end) == number
    assert plain.next_working_day(end) == end


@given(st.dates(date(1990, 1, 1), date(2060, 1, 1)), st.integers(0, 12), st.integers(0, 40))
def test_first_day_with_left_is_the_first_with_at_most_that_many_to_go(
    end: date, number: int, back: int
) -> None:
    first = LHASA.first_day_with_left(number, end)

    for day in (first + timedelta(days=back), first - timedelta(days=1 + back)):
        assert (LHASA.working_days_between(day, end=end) <= number) == (day >= first)
