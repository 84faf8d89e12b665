"""Many at once: the first few alone, the others as one digest, the worst first, none lost."""

from __future__ import annotations

import pytest

from runner.alerting.storm import ALONE, Admission, StormGate
from runner.storage import incidents
from tests.alerting.chat import Post
from tests.alerting.room import Room
from tests.alerting.story import NOW, Story, failure


@pytest.fixture
def post(room: Room) -> Post:
    return Post(room)


def many(room: Room, count: int) -> list[Story]:
    return [room.new_task(f"task_{number:04}") for number in range(count)]


def fail_together(stories: list[Story], times: int, *, where: str = "wallet.py:7 in ask") -> None:
    """All of them, in the same second."""
    for _ in range(times):
        for story in stories:
            story.fail(failure("refused", where=where), after=0)


def test_the_gate_lets_a_few_through_and_then_gathers() -> None:
    gate = StormGate()
    told = [gate.admit(NOW + number * 0.1) for number in range(10)]
    assert told[:ALONE] == [Admission.ALONE] * ALONE
    assert told[ALONE] is Admission.BEGIN
    assert set(told[ALONE + 1 :]) == {Admission.JOIN}
    assert gate.admit(NOW + 15) is Admission.JOIN
    assert gate.admit(NOW + 31) is Admission.ALONE


def test_a_few_an_hour_are_no_storm() -> None:
    gate = StormGate()
    assert {gate.admit(NOW + number * 20) for number in range(50)} == {Admission.ALONE}


async def test_a_thousand_tasks_in_one_second_are_five_messages_at_most_in_a_minute(
    room: Room, post: Post
) -> None:
    stories = many(room, 1000)
    began = room.clock.at
    fail_together(stories[:900], 3)
    fail_together(stories[900:], 5, where="ledger.py:3 in post")  # a hundred of them stop
    assert room.clock.at == began
    await post.deliver(60)
    assert post.messages[0].at - began <= 2.0
    assert len(post.messages) <= 5
    [digest] = [shown for shown in post.messages if shown.header.startswith("🔴 Сбои сразу во многих")]
    lines = digest.text.splitlines()
    assert lines[1].startswith("🔴 100/100")  # what is critical stands above what is not
    assert "897/897" in lines[2]
    [storm] = [r["id"] for r in await room.pool.fetch("SELECT id FROM dozor.incidents WHERE kind = 'storm'")]
    assert digest.actions == [f"a:storm:{storm}", f"a:ack:{storm}"]
    members = []
    for page in range(0, 1000, 100):
        members += await incidents.read_storm_members(room.pool, storm, 100, page)
    told_alone = {f"task_{number:04}" for number in range(ALONE)}
    assert {member.task for member in members} | told_alone == {story.name for story in stories}
    assert [member.severity for member in members[:100]] == ["critical"] * 100


async def test_a_storm_passes_and_is_told_so_once(room: Room, post: Post) -> None:
    stories = many(room, 50)
    fail_together(stories, 3)
    await post.deliver(30)
    before = len(post.messages)
    for story in stories[:40]:
        story.succeed(after=0)
    await post.deliver(30)
    assert "10/47" in post.messages[ALONE].text
    assert len(post.messages) == before
    for story in stories[40:]:
        story.succeed(after=0)
    await post.deliver(60)
    # A storm of warnings ends as any warning does: its message says so, and nothing makes a sound.
    assert post.messages[ALONE].header.startswith("✅ Массовый сбой закончился")
    assert len(post.messages) == before
    assert await room.pool.fetchval("SELECT count(*) FROM dozor.incidents WHERE state <> 'resolved'") == 0


async def test_a_storm_that_becomes_critical_is_told_anew(room: Room, post: Post) -> None:
    stories = many(room, 20)
    fail_together(stories, 3)
    await post.deliver(30)
    assert post.headers[-1].startswith("⚠️ Сбои")
    fail_together(stories[10:], 2)
    await post.deliver(60)
    # A few of them alone, the others by the digest's new message.
    assert sorted(header[:1] for header in post.headers[ALONE + 1 :]) == ["🔴", "🛑", "🛑", "🛑"]
    [digest] = [shown for shown in post.messages if shown.header.startswith("🔴 Сбои")]
    assert digest.message.reply_to == ALONE + 1


async def test_nobody_is_reminded_of_each_task_of_a_storm_only_of_the_storm(room: Room, post: Post) -> None:
    fail_together(many(room, 30), 5)
    await post.deliver(120)
    room.pass_time(1800)
    await room.journal.write()
    rows = await room.pool.fetch("SELECT task, incident_id FROM dozor.notifications WHERE kind = 'reminder'")
    assert sorted(row["task"] or "the storm" for row in rows) == [
        "task_0000", "task_0001", "task_0002", "the storm",
    ]  # fmt: skip


async def test_a_storm_goes_on_after_a_restart_of_the_runner(room: Room, post: Post) -> None:
    stories = many(room, 30)
    fail_together(stories[:20], 3)
    await room.again()
    for story in stories:
        story.watch = room.watch
    fail_together(stories[20:], 3)
    await post.deliver(60)
    assert len(post.messages) == ALONE + 1
    assert "27/27" in post.messages[-1].text
