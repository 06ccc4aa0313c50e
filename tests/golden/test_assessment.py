"""Assessment (日报): what each stored fact counts as, publication, corrections, a rebuild."""

from tests.golden import inputs
from tests.golden.recorder import CITY, DEPARTMENT, Golden

DAYS = ("2026-03-09", "2026-03-10", "2026-03-11", "2026-04-20")


async def test_daily_report(golden: Golden) -> None:
    assessment = await golden.service("assessment")
    supervisor = golden.as_.staff("supervisor", number=110)
    citizen = golden.as_.person(1)
    await assessment.take(*inputs.stored_events())
    await assessment.take(*inputs.stored_events()[:20])
    golden.section("Live figures")
    golden.clock.move("2026-04-21T09:00")
    for day in DAYS:
        _ = await assessment.get(f"daily-reports/{day}", supervisor)
    _ = await assessment.get(
        f"daily-reports/{DAYS[1]}", supervisor, area=CITY, department=DEPARTMENT
    )
    _ = await assessment.get(f"daily-reports/{DAYS[1]}")
    _ = await assessment.get(f"daily-reports/{DAYS[1]}", citizen, live="true")

    golden.section("Published and corrected")
    path = f"daily-reports/{DAYS[1]}"
    reason = {"reason": "补录迟到的推送数据"}
    _ = await assessment.post(f"{path}/revisions", supervisor, body=reason, key="report-1")
    _ = await assessment.post(f"{path}/publication", supervisor, key="report-2")
    _ = await assessment.post(f"{path}/publication", supervisor, key="report-3")
    _ = await assessment.get(path, citizen)
    _ = await assessment.post(f"{path}/revisions", supervisor, body=reason, key="report-4")
    _ = await assessment.get(f"{path}/revisions", supervisor)
    _ = await assessment.get(path, supervisor, revision=1)
    _ = await assessment.post("daily-reports/2026-05-01/publication", supervisor, key="report-5")
    _ = await assessment.post(f"{path}/publication", citizen, key="report-6")
    _ = await assessment.get("daily-reports/nonsense", supervisor)
    golden.section("Tables")
    await assessment.dump()

    golden.section("A database made anew gets its reports back")
    again = await golden.service("assessment")
    await again.take(*assessment.new_events())
    await again.dump("daily_report")
    golden.check()
