"""What is wrong with what the siege has left behind: nothing, if the runner is as good as its word."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator

from dozor.storage.tables.incidents import IncidentRow
from tests.siege.evidence import CURRENT, FIRING, RUNNER_ENDED, Evidence, Label, Telling
from tests.siege.places import LOUD, MAIN, SECOND, home_of, second_hears
from tests.siege.siege import MENDING
from tests.siege.standin import KILLED

ANSWER_LOST = frozenset({"cut_after_accept", "hang_after_accept", "half_body", "half_json", KILLED})
"""Carried out, and nobody could know."""
SETTLED = ("delivered", "superseded", "expired")
MOVED_AFTER = 1500.0
"""Fast seconds in which a new chat is told what is open, whatever happens meanwhile."""
TIMEOUT = 20.0
"""Seconds after which the runner gives a call up."""


class Judge:
    """`slack`: real seconds that the machine may take for what should take none."""

    def __init__(self, evidence: Evidence, slack: float) -> None:
        self._evidence = evidence
        self._chronicle = evidence.chronicle
        self._slack = slack * self._chronicle.haste.speed
        self.problems: list[str] = []
        self.doubted = 0
        self.members = self.counted = 0
        self.marked = 0
        self.told_anew = 0
        self.flights: list[float] = []
        self.latencies: list[float] = []
        self._by_task: dict[tuple[str, str], list[Telling]] = defaultdict(list)
        for told in evidence.sends:
            if told.task is not None:
                self._by_task[told.place, told.task].append(told)
        self._over = {row.id: row.resolved_at for row in evidence.incidents}
        self._owed = {owed.message_id: owed for owed in evidence.outbox if owed.message_id is not None}

    def judge(self) -> None:
        """Find every problem."""
        rows = self._evidence.incidents
        for row in rows:
            if row.state != "resolved":
                self._wrong(f"still open: {_name(row)}")
            elif row.task is not None and row.told:
                self._judge_told(row)
            elif row.task is not None:
                self._judge_untold(row)
            elif row.told:
                self._judge_of_the_runner(row)
        self._judge_moments()
        self._judge_repeats()
        self._judge_copies()
        for owed in self._evidence.outbox:
            if owed.state not in SETTLED:
                self._wrong(f"not settled: {owed}")
        self._judge_lost(rows)

    # -- each incident

    def _judge_told(self, row: IncidentRow) -> None:
        for place in _places(row):
            mine = [told for told in self._of(row, place) if told.label in (*FIRING, Label.PAST)]
            if not mine:
                self._wrong(f"not told in {place or 'the chat'}: {_name(row)}")
                continue
            if place == MAIN:
                self.latencies.append(mine[0].at - row.opened_at)
            if place == MAIN:
                self._judge_places(row)
            if not self._end_is_told(row, place, mine):
                self._wrong(f"end not told in {place or 'the chat'}: {_name(row)}; {mine[-1].header}")

    def _judge_places(self, row: IncidentRow) -> None:
        """What was told and stays open for long after the runner got another chat is told there as well."""
        assert row.resolved_at is not None
        births = self._chronicle.births
        told = [one for one in self._by_task[MAIN, row.task or ""] if one.error in _errors(row)]
        first = min((one.at for one in told), default=row.resolved_at)
        for number, at in enumerate(births):
            home = home_of(number)
            if number == 0 or home == home_of(number - 1) or first > at:
                continue
            ends = [birth for later, birth in enumerate(births) if birth > at and home_of(later) != home]
            until = min([row.resolved_at, *ends])
            if until - at - self._stalled(at, until) > MOVED_AFTER:
                self.told_anew += 1
                if not any(one.shown.chat == home and one.at < until for one in told):
                    self._wrong(f"open, and not told in its new chat {home} since {at:.1f}: {_name(row)}")

    def _of(self, row: IncidentRow, place: str) -> list[Telling]:
        """Messages about it there; its first words are its error's name."""
        errors = _errors(row)
        return [told for told in self._by_task[place, row.task or ""] if told.error in errors]

    def _end_is_told(self, row: IncidentRow, place: str, mine: list[Telling]) -> bool:
        assert row.resolved_at is not None
        if any(told.label is Label.PAST for told in mine):
            return True
        ids = {told.shown.message for told in mine}
        if any(edit.over for number in ids for edit in self._evidence.edits.get(number, ())):
            return True
        for told in self._by_task[place, row.task or ""]:
            if told.label is Label.RECOVERED and told.at >= row.resolved_at - self._slack:
                return True
        return False

    def _judge_untold(self, row: IncidentRow) -> None:
        if row.storm is None and row.explained_by is None and row.silenced_by is None:
            self._wrong(f"nobody was told, and nothing says why: {_name(row)}")

    def _judge_of_the_runner(self, row: IncidentRow) -> None:
        """A storm, a dependency, a chat that refuses: by the outbox and by what the messages show last."""
        mine = [o for o in self._evidence.outbox if o.incident_id == row.id and o.state == "delivered"]
        sent = {told.shown.message: told for told in self._evidence.sends}
        fired = [o for o in mine if o.kind not in ("recovered", "reminder", "escalation")]
        if not fired:
            self._wrong(f"not told anywhere: {_name(row)}")
        for place in {owed.destination for owed in fired}:
            there = [owed for owed in mine if owed.destination == place]
            texts = [told for o in there if o.message_id in sent for told in self._all(sent[o.message_id])]
            if not any(text.over for text in texts):
                self._wrong(f"end not told in {place or 'the chat'}: {_name(row)}")
            if row.kind == "storm" and place == MAIN:
                self._judge_digest(row, texts)

    def _judge_digest(self, row: IncidentRow, texts: list[Telling]) -> None:
        """Its members are found in it by their number; what joined just before its end is in the table."""
        members = sum(member.storm == row.id for member in self._evidence.incidents)
        counts = [
            int(text.header.partition(" · ")[0].rpartition(" ")[2])
            for text in texts
            if text.label is Label.STORM
        ]
        past = any(text.label is Label.PAST or text.over for text in texts[:1])
        self.members += members
        shown = members if past else max(counts, default=0)
        self.counted += min(shown, members)  # who is told alone after all leaves it
        if shown == 0 and members:
            self._wrong(f"the digest shows none of {members}: {_name(row)}")

    def _all(self, told: Telling) -> list[Telling]:
        return [told, *self._evidence.edits.get(told.shown.message, ())]

    # -- moments

    def _judge_moments(self) -> None:
        """What says that something is broken must not come when it is over; but for its flight."""
        by_id = {row.id: row for row in self._evidence.incidents}
        by_words: dict[tuple[str | None, str | None], IncidentRow]
        by_words = {(row.task, error): row for row in self._evidence.incidents for error in _errors(row)}
        for told in self._evidence.sends:
            owed = self._owed.get(told.shown.message)
            row = by_words.get((told.task, told.error)) if owed is None else by_id.get(owed.incident_id or 0)
            if told.label not in CURRENT or row is None or row.resolved_at is None:
                continue
            late = told.at - row.resolved_at - self._stalled(row.resolved_at, told.at)
            if late > 0:
                self.flights.append(late)
            if late > self._slack:
                self._wrong(f"told as current {late:.1f} s after it was over: {_name(row)}: {told.header}")

    def _stalled(self, since: float, until: float) -> float:
        """Seconds of it in which the machine let nobody run."""
        return sum(max(0.0, min(until, to) - max(since, at)) for at, to in self._evidence.seen.stalls)

    # -- repeats

    def _judge_repeats(self) -> None:
        """The same words again must bear the mark."""
        for told, before in self._repeats():
            if told.marked:
                self.marked += 1
                continue
            gap = told.at - before.at
            self._wrong(
                f"told twice in {told.place or 'the chat'}, {gap:.0f} s apart, unmarked: {told.header}"
            )

    def _repeats(self) -> Iterator[tuple[Telling, Telling]]:
        """A message and the one that said the same before."""
        for telling in self._by_task.values():
            last: dict[tuple[Label, object], Telling] = {}
            for number, told in enumerate(telling):
                match told.label:
                    case Label.REPEATED | Label.STOPPED | Label.PAST:
                        key: tuple[Label, object] = (told.label, self._failure_of(told))
                    case Label.RECOVERED:
                        key = (told.label, self._recovered(telling[number:]))
                    case _:
                        continue
                if key in last:
                    yield told, last[key]
                last[key] = told

    def _failure_of(self, told: Telling) -> object:
        """What is wrong: its error, whose name no other failure of the task has, or the incident."""
        owed = self._owed.get(told.shown.message)
        if told.error == RUNNER_ENDED and owed is not None:
            return owed.incident_id
        return told.error

    def _recovered(self, telling: list[Telling]) -> int | None:
        """Whose end the first one tells: as the next such message that was settled, if that was over by then.

        Of what was told from memory, and again with a newer state, the outbox knows one id: the others are
        nobody's, each its own.
        """
        for told in telling:
            owed = self._owed.get(told.shown.message)
            if told.label is Label.RECOVERED and owed is not None:
                over = self._over.get(owed.incident_id or 0)
                later = over is not None and over > telling[0].at + self._slack
                return -telling[0].shown.message if later else owed.incident_id
        return None

    def _judge_copies(self) -> None:
        """Each message that the outbox does not know as the delivered one must have a reason to be there."""
        for told in self._evidence.sends:
            if told.shown.message in self._owed or told.shown.fault in ANSWER_LOST:
                continue
            if self._died_before_settling(told.at) or self._from_memory(told.at):
                continue
            if self._doubted(told):
                self.doubted += 1
            else:
                self._wrong(f"sent, answered and not settled in {told.place or 'the chat'}: {told.header}")

    def _from_memory(self, at: float) -> bool:
        """Sent while PostgreSQL was away: of an incident's messages the outbox learns one id, the last."""
        return any(since <= at <= until + TIMEOUT for since, until in self._evidence.away)

    def _doubted(self, told: Telling) -> bool:
        """The runner has given the call up, though it was answered: the machine was slow."""
        return any(abs(doubt.at - told.at) <= TIMEOUT + self._slack for doubt in self._evidence.doubts)

    def _died_before_settling(self, at: float) -> bool:
        until = at + 2.0 + self._slack
        for began, ended in self._evidence.away:
            if began < until and ended + MENDING > at:
                until = max(until, ended + MENDING)
        return self._dead_between(at, until)

    def _dead_between(self, since: float, until: float) -> bool:
        deaths = self._chronicle.deaths
        number = bisect_left(deaths, since)
        return number < len(deaths) and deaths[number] <= until

    def _judge_lost(self, rows: Iterable[IncidentRow]) -> None:
        """What was told must be in the table, from whatever memory."""
        known = {(row.task, error) for row in rows for error in _errors(row)}
        for told in self._evidence.sends:
            if told.label in FIRING and (told.task, told.error) not in known:
                self._wrong(f"told and not in the table: {told.header}")

    def _wrong(self, text: str) -> None:
        self.problems.append(text)


def _places(row: IncidentRow) -> list[str]:
    """Where it must be told."""
    assert row.task is not None
    places = [MAIN]
    if second_hears(row.task):
        places.append(SECOND)
    if row.severity == "critical" and row.storm is None:
        places.append(LOUD)
    return places


def _errors(row: IncidentRow) -> set[str]:
    """Names of errors that its messages may show: the first one's, and the last one's."""
    return {row.fingerprint.partition(" ")[0], row.summary.partition(":")[0]}


def _name(row: IncidentRow) -> str:
    lasted = "" if row.resolved_at is None else f", lasted {row.resolved_at - row.opened_at:.0f} s"
    return f"#{row.id} {row.task or ''} {row.kind} {row.fingerprint[:40]} at {row.opened_at:.1f}{lasted}"
