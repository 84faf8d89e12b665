"""Many at once: the first few alone, the others as one digest, the worst first, none lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dozor.alerting.incidents.storm_gate import AT_ONCE, FEW, LONGEST, QUIET, Admission, StormGate
from dozor.alerting.model.incident import Incident, IncidentState
from dozor.alerting.model.notification import AlertData
from dozor.alerting.policy.escalation import Level
from dozor.alerting.policy.oncall import OnCall, Person
from dozor.alerting.policy.routes import Route, Routing
from dozor.alerting.rendering.live_message import digest_facts, storm_groups
from dozor.config.values.incident_kinds import IncidentKind, Severity
from dozor.control.commands.commands import AlertCommand
from dozor.storage.tables import incidents
from dozor.storage.tables.incidents import StormGroup
from tests.alerting.chat import Post
from tests.alerting.stage import Stage
from tests.alerting.story import NOW, Story, failure


@pytest.fixture
def post(stage: Stage) -> Post:
    return Post(stage)


def many(stage: Stage, count: int) -> list[Story]:
    return [stage.new_task(f"task_{number:04}") for number in range(count)]


def fail_together(stories: list[Story], times: int, *, where: str = "wallet.py:7 in ask") -> None:
    """All of them, in the same second."""
    for _ in range(times):
        for story in stories:
            story.fail(failure("refused", where=where), after=0)


def test_the_gate_lets_a_few_through_and_then_gathers() -> None:
    gate = StormGate()
    told = [gate.admit(number, NOW + number * 0.1) for number in range(10)]
    assert told[:FEW] == [Admission.ALONE] * FEW
    assert told[FEW] is Admission.BEGIN
    assert gate.waiting == tuple(range(AT_ONCE, FEW))
    assert set(told[FEW + 1 :]) == {Admission.JOIN}
    assert gate.admit(10, NOW + 60) is Admission.JOIN
    assert gate.admit(11, NOW + 60 + QUIET) is Admission.ALONE


def test_a_few_a_minute_are_no_storm() -> None:
    gate = StormGate()
    assert {gate.admit(number, NOW + number * 2) for number in range(50)} == {Admission.ALONE}


def test_what_becomes_worse_is_no_newcomer() -> None:
    gate = StormGate()
    assert {gate.admit(number % FEW, NOW) for number in range(50)} == {Admission.ALONE}


def test_a_trickle_does_not_keep_one_storm_for_ever() -> None:
    gate = StormGate()
    told = [gate.admit(number, NOW) for number in range(FEW + 1)]
    told = [gate.admit(100 + number, NOW + number * 30) for number in range(40)]
    assert told.index(Admission.ALONE) == LONGEST / 30


def test_who_comes_after_the_end_of_a_storm_is_no_part_of_it() -> None:
    gate = StormGate()
    for number in range(FEW + 1):
        gate.admit(number, NOW)
    gate.end()
    assert gate.admit(50, NOW + 11) is Admission.ALONE


async def test_a_few_that_break_together_are_told_each_by_itself(stage: Stage, post: Post) -> None:
    fail_together(many(stage, FEW), 5)
    await post.deliver(60)
    assert sorted(shown.header[:12] for shown in post.messages if shown.header.startswith("🛑")) == [
        f"🛑 task_{number:04} " for number in range(FEW)
    ]


async def test_one_more_than_a_few_is_a_digest_that_takes_in_what_has_not_left_yet(
    stage: Stage, post: Post
) -> None:
    stories = many(stage, FEW + 1)
    fail_together(stories, 3)
    await post.deliver(60)
    assert len(post.messages) == AT_ONCE + 1
    assert f"{FEW + 1 - AT_ONCE}/{FEW + 1 - AT_ONCE}" in post.messages[-1].text
    rows = await stage.pool.fetch("SELECT task FROM dozor.notifications WHERE state = 'superseded'")
    assert [row["task"] for row in rows] == [story.name for story in stories[AT_ONCE:FEW]]
    for story in stories:
        story.succeed(after=0)
    await post.deliver(60)
    assert [shown.header[0] for shown in post.messages] == ["✅"] * (AT_ONCE + 1)


async def test_what_has_left_before_the_storm_goes_on_living_beside_the_digest(
    stage: Stage, post: Post
) -> None:
    stories = many(stage, FEW + 3)
    fail_together(stories[:FEW], 3)
    await post.deliver(8)
    assert len(post.messages) == FEW
    fail_together(stories[FEW:], 3)
    await post.deliver(60)
    assert len(post.messages) == FEW + 1
    # All but the first three are in the digest: it alone is told of again.
    assert "6/6" in post.messages[-1].text
    for story in stories:
        story.succeed(after=0)
    await post.deliver(120)
    assert [shown.header[0] for shown in post.messages] == ["✅"] * (FEW + 1)


async def test_a_thousand_tasks_in_one_second_are_five_messages_at_most_in_a_minute(
    stage: Stage, post: Post
) -> None:
    stories = many(stage, 1000)
    began = stage.clock.at
    fail_together(stories[:900], 3)
    fail_together(stories[900:], 5, where="ledger.py:3 in post")  # a hundred of them stop
    assert stage.clock.at == began
    await post.deliver(60)
    assert post.messages[0].at - began <= 2.0
    assert len(post.messages) <= 5
    [digest] = [shown for shown in post.messages if shown.header.startswith("🔴 Сбои сразу во многих")]
    lines = digest.text.splitlines()
    assert lines[1].startswith("🔴 100/100")  # what is critical stands above what is not
    assert "897/897" in lines[2]
    [storm] = [r["id"] for r in await stage.pool.fetch("SELECT id FROM dozor.incidents WHERE kind = 'storm'")]
    assert digest.actions == [f"a:storm:{storm}", f"a:ack:{storm}"]
    members = await stage.pool.fetch(
        "SELECT task, severity FROM dozor.incidents WHERE storm = $1 ORDER BY severity <> 'critical', id",
        storm,
    )
    told_alone = {f"task_{number:04}" for number in range(AT_ONCE)}
    assert {member["task"] for member in members} | told_alone == {story.name for story in stories}
    assert [member["severity"] for member in members[:100]] == ["critical"] * 100


async def test_a_digest_from_memory_is_that_of_the_database(stage: Stage, post: Post) -> None:
    stories = many(stage, 30)
    fail_together(stories[:12], 3)
    fail_together(stories[12:20], 5, where="ledger.py:3 in post")
    fail_together(stories[20:], 3, where="deposits.py:9 in read")
    stage.manager.open_incident(IncidentKind.LIMIT, "memory", AlertData())
    for story in stories[8:16]:
        story.restart()
        story.succeed(after=0)
    await stage.journal.write()
    [storm] = [one for one in stage.manager.open_incidents if one.kind is IncidentKind.STORM]
    groups = storm_groups(stage.manager.store.members(storm.id))
    assert groups == await incidents.read_storm(stage.pool, storm.id)
    assert digest_facts(groups, storm).count == len(stage.manager.store.members(storm.id))


def test_a_cause_of_no_task_names_none() -> None:
    group = StormGroup("critical", "dependency", "PostgreSQL", "PostgreSQL", 1, 1, ())
    storm = Incident(
        id=1,
        task=None,
        kind=IncidentKind.STORM,
        severity=Severity.CRITICAL,
        state=IncidentState.OPEN,
        fingerprint="1",
        summary="",
        failures=1,
        opened_at=NOW,
        updated_at=NOW,
        notified_at=NOW,
    )
    assert digest_facts([group], storm).lines == ("🔴 1/1 · PostgreSQL",)
    tasks = replace(group, count=4, tasks=("a", "b", "c"))
    assert digest_facts([tasks], storm).lines == ("🔴 1/4 · PostgreSQL · a",)
    three = replace(tasks, open=3)
    assert digest_facts([three], storm).lines == ("🔴 3/4 · PostgreSQL · a, b, c",)
    every = replace(tasks, open=4)
    assert digest_facts([every], storm).lines == ("🔴 4/4 · PostgreSQL · a, b, c, …",)
    over = replace(tasks, open=0)
    assert digest_facts([over], storm).lines == ("✅ 0/4 · PostgreSQL · a, b, c, …",)


async def test_a_storm_passes_and_is_told_so_once(stage: Stage, post: Post) -> None:
    stories = many(stage, 50)
    fail_together(stories, 3)
    await post.deliver(30)
    before = len(post.messages)
    for story in stories[:40]:
        story.succeed(after=0)
    await post.deliver(30)
    assert "10/47" in post.messages[AT_ONCE].text
    assert len(post.messages) == before
    for story in stories[40:]:
        story.succeed(after=0)
    await post.deliver(60)
    # A storm of warnings ends as any warning does: its message says so, and nothing makes a sound.
    assert post.messages[AT_ONCE].header.startswith("✅ Массовый сбой закончился")
    assert len(post.messages) == before
    assert await stage.pool.fetchval("SELECT count(*) FROM dozor.incidents WHERE state <> 'resolved'") == 0


async def test_who_moves_into_another_storm_does_not_keep_its_first_one_open(
    stage: Stage, post: Post
) -> None:
    stories = many(stage, 20)
    fail_together(stories, 3)
    await post.deliver(QUIET + 1)
    fail_together(stories[AT_ONCE:], 2)  # some stop alone, the others in a digest of their own
    await post.deliver(60)
    assert len([one for one in stage.manager.open_incidents if one.kind is IncidentKind.STORM]) == 2
    for story in stories:
        story.restart()
        story.succeed(after=0)
    await post.deliver(120)
    assert stage.manager.open_incidents == ()


async def test_the_end_of_an_older_storm_is_not_that_of_the_present_one(stage: Stage, post: Post) -> None:
    stories = many(stage, 41)
    fail_together(stories[:20], 3)
    await post.deliver(QUIET + 1)
    fail_together(stories[20:40], 3)
    for story in stories[:20]:
        story.succeed(after=0)
    await post.deliver(5)
    fail_together(stories[40:], 3)
    [late] = stage.manager.store.failures_of(stories[40].name)
    assert late.storm == stage.manager.store.failures_of(stories[39].name)[0].storm
    assert not late.told


async def test_a_chat_whose_tasks_are_well_again_hears_of_the_end_after_a_restart_as_well(
    stage: Stage, post: Post
) -> None:
    second = Route(destination="-200", tasks=frozenset({"task_0010"}))
    stage.furnish(routes=Routing([second]))
    stories = many(stage, 20)
    fail_together(stories, 3)
    stories[10].succeed(after=0)
    await stage.again()
    opened = await incidents.read_open(stage.journal.connection, resolved_within=1e9)
    stage.manager = stage.new_manager(opened, await incidents.last_id(stage.journal.connection))
    for story in stories:
        story.manager = stage.manager
        story.succeed(after=0)
    await stage.journal.write()
    rows = await stage.pool.fetch("SELECT destination, kind FROM dozor.notifications WHERE task IS NULL")
    assert {row["destination"] for row in rows if row["kind"] == "recovered"} == {"", "-200"}


async def test_a_storm_that_becomes_critical_is_told_anew(stage: Stage, post: Post) -> None:
    stories = many(stage, 20)
    fail_together(stories, 3)
    await post.deliver(30)
    assert post.headers[-1].startswith("⚠️ Сбои")
    fail_together(stories[10:], 2)
    await post.deliver(60)
    assert [header[:1] for header in post.headers[AT_ONCE + 1 :]] == ["🔴"]
    [digest] = [shown for shown in post.messages if shown.header.startswith("🔴 Сбои")]
    assert digest.message.reply_to == AT_ONCE + 1


async def test_nobody_is_reminded_of_each_task_of_a_storm_only_of_the_storm(stage: Stage, post: Post) -> None:
    fail_together(many(stage, 30), 5)
    await post.deliver(120)
    stage.pass_time(1800)
    await stage.journal.write()
    rows = await stage.pool.fetch("SELECT task, incident_id FROM dozor.notifications WHERE kind = 'reminder'")
    assert [row["task"] or "the storm" for row in rows] == ["the storm"]


async def test_a_storm_goes_on_after_a_restart_of_the_runner(stage: Stage, post: Post) -> None:
    stories = many(stage, 30)
    fail_together(stories[:20], 3)
    await stage.again()
    for story in stories:
        story.manager = stage.manager
    fail_together(stories[20:], 3)
    await post.deliver(60)
    assert len(post.messages) == AT_ONCE + 1
    assert "27/27" in post.messages[-1].text


async def test_the_end_of_those_told_alone_is_the_end_of_their_storm(stage: Stage, post: Post) -> None:
    stories = many(stage, 30)
    fail_together(stories, 3)
    await post.deliver(30)
    fail_together(stories, 2)
    await post.deliver(60)
    before = len(post.messages)
    for story in stories:
        story.restart()
        story.succeed(after=0)
    await post.deliver(120)
    assert [shown.header for shown in post.messages[before:]] == [
        "✅ Массовый сбой закончился: открытых инцидентов в нём не осталось · №8"
    ]
    assert [shown.header[0] for shown in post.messages[:AT_ONCE]] == ["✅"] * AT_ONCE


async def test_a_storm_nobody_takes_on_is_told_again_with_what_is_still_broken(
    stage: Stage, post: Post
) -> None:
    stage.furnish(levels=(Level(900.0, "ann"),), oncall=OnCall({"ann": Person(name="ann", mention="@ann")}))
    stories = many(stage, 20)
    fail_together(stories, 5)
    await post.deliver(60)
    before = len(post.messages)
    for story in stories[:12]:
        story.restart()
        story.succeed(after=0)
    stage.pass_time(1800)
    await post.deliver(60)
    called, reminder = post.messages[before:]
    digest = next(shown for shown in post.messages if "Сбои сразу" in shown.header)
    assert called.text == "🔴 @ann: нужна реакция. Массовый сбой длится 31 мин: не работают 8 из 20 · №8"
    assert reminder.text == "🔴 Массовый сбой длится 31 мин: не работают 8 из 20 · №8"
    assert called.message.reply_to == reminder.message.reply_to == post.chat.messages.index(digest) + 1


async def test_one_of_a_long_storm_that_stops_later_is_told_by_itself_and_reminded_of(
    stage: Stage, post: Post
) -> None:
    stories = many(stage, 20)
    fail_together(stories, 3)
    await post.deliver(60)
    stage.ask(AlertCommand.ACK, str(await _storm_of(stage)))
    stage.pass_time(3600)
    for _ in range(2):
        stories[10].fail(failure("refused", where="wallet.py:7 in ask"), after=60)
    await post.deliver(60)
    assert [h for h in post.headers if "task_0010" in h] == [
        "🛑 task_0010 остановлена: 5 ошибок подряд с 16:01:00 UTC · №12"
    ]
    digest = next(shown for shown in post.messages if "Сбои сразу" in shown.header)
    assert "16/16" in digest.text
    stage.pass_time(2000)
    await post.deliver(60)
    assert [h for h in post.headers if "task_0010 всё ещё остановлена" in h]


async def test_a_storm_somebody_has_taken_on_is_told_anew_when_more_of_it_stops(
    stage: Stage, post: Post
) -> None:
    stories = many(stage, 20)
    fail_together(stories, 3)
    fail_together(stories[:10], 2)
    await post.deliver(30)
    stage.ask(AlertCommand.ACK, str(await _storm_of(stage)))
    await post.deliver(10)
    before = len(post.messages)
    for story in stories[10:]:
        for _ in range(2):
            story.fail(failure("refused", where="wallet.py:7 in ask"), after=0)
    await post.deliver(60)
    [anew] = post.messages[before:]
    assert anew.header.startswith("🔴 Сбои сразу во многих задачах")
    assert "Принято" not in anew.text


async def _storm_of(stage: Stage) -> int:
    await stage.journal.write()
    number: int = await stage.pool.fetchval("SELECT id FROM dozor.incidents WHERE kind = 'storm'")
    return number
