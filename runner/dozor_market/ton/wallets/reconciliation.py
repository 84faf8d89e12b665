"""The ledger against the balances on the chain, for TON and each jetton.

What came in from outside is the negative of the accounts `external`. That is what our wallets should hold,
with what is known but not posted (dust, transfers that wait or were rejected), and without network fees. A
balance is compared only as of the transaction at the wallet's cursor: what came in later is not booked yet. A
wallet that gets something all the time is busy, which is no fault: it is compared when it happens to be read.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from ton_core import Address

from dozor.language import msg
from dozor.storage.postgres.pool import Connection
from dozor.toolkit.context import CheckerContext
from dozor_market.books import Fault, read_faults
from dozor_market.ton.crediting import from_json_or_none
from dozor_market.ton.messages.amounts import in_whole
from dozor_market.ton.messages.transactions import Position
from dozor_market.ton.providers.port import Answer, Providers
from dozor_market.ton.providers.sources import State
from dozor_market.ton.wallets.jettons import WalletData, agreed, read_address, read_wallet_data

AT_ONCE: Final = 8
"""Accounts asked about at the same time."""
WALLET: Final = "wallet "
"""Faults that are judged in every run have subjects that begin so."""
LOOKS: Final = 3
"""Times that a difference, or a wallet that is not read up to its newest transaction, is looked at."""

WALLETS_SQL: Final = """
SELECT w.address, w.enabled, w.after_lt, c.position,
       EXISTS (SELECT FROM market.ton_exclusions e WHERE e.account = w.address) AS excluded
  FROM market.ton_wallets w LEFT JOIN dozor.cursors c ON c.name = 'ton:' || w.address ORDER BY w.address"""
JETTONS_SQL: Final = """
SELECT address, owner, currency, master FROM market.ton_jetton_wallets ORDER BY address"""
CAME_IN_SQL: Final = """
SELECT split_part(m.reference, ':', 2) || ':' || split_part(m.reference, ':', 3) AS account, p.currency,
       (-sum(p.amount))::text AS amount, count(*) AS transactions
  FROM market.movements m
  JOIN market.postings p ON p.movement_id = m.id
  JOIN market.accounts a ON a.id = p.account_id AND a.kind = 'external'
 WHERE m.reference LIKE 'ton:%' GROUP BY 1, 2"""
"""What the ledger has from each wallet."""
UNPOSTED_SQL: Final = """
SELECT account, currency, sum(amount)::text AS amount
  FROM (SELECT account, currency, amount::numeric FROM market.deposits WHERE state = 'dust'
         UNION ALL
        SELECT account, currency, amount FROM market.ton_pending WHERE state IN ('over_limit', 'rejected')
         UNION ALL
        SELECT account, 'TON', attached FROM market.ton_pending WHERE state IN ('over_limit', 'rejected')) u
 GROUP BY account, currency"""
"""What is on the chain up to the cursor, known, and not in the ledger."""
MOVED_SQL: Final = """
SELECT d.account, d.currency, sum(d.amount)::text AS amount, count(*) AS transactions
  FROM market.deposits d
 WHERE d.state = 'internal'
    OR d.state = 'attributed'
       AND NOT EXISTS (SELECT FROM market.movements m
                        WHERE m.reference = 'ton:' || d.account || ':' || d.lt || ':'
                                            || encode(d.hash, 'hex'))
 GROUP BY d.account, d.currency"""
"""What came to each wallet from another one of ours."""
LEDGER_SQL: Final = """
SELECT a.currency, (-a.balance)::text AS amount, c.decimals
  FROM market.accounts a JOIN market.currencies c ON c.code = a.currency WHERE a.kind = 'external'"""


@dataclass(frozen=True, slots=True)
class Rules:
    """Arguments of the checker. `expected`: smallest units by currency; `fee`: nanotons; `recheck`: s."""

    expected: Mapping[str, int]
    fee: int
    recheck: float


@dataclass(frozen=True, slots=True)
class Report:
    """`complete`: everything could be compared. `left`: wallets that could not be, whatever the reason."""

    faults: tuple[Fault, ...]
    wallets: int
    complete: bool
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """What one look came to; see Report."""

    faults: tuple[Fault, ...]
    complete: bool
    left: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OurWallet:
    """`cursor` None: not read yet, or invalid. `excluded`: transactions of it are never booked."""

    address: str
    enabled: bool
    after_lt: int
    cursor: Position | None
    excluded: bool


@dataclass(frozen=True, slots=True)
class OurJettons:
    """A registered jetton wallet."""

    address: str
    owner: str
    currency: str
    master: str | None


@dataclass(frozen=True, slots=True)
class Books:
    """One snapshot of the database. Amounts in smallest units, by wallet and currency or by currency."""

    faults: tuple[Fault, ...]
    wallets: tuple[OurWallet, ...]
    jettons: tuple[OurJettons, ...]
    came_in: Mapping[tuple[str, str], int]
    transactions: int
    """Transactions with TON, each of which may have cost a fee: two where a wallet of ours sent it."""
    unposted: Mapping[tuple[str, str], int]
    moved: Mapping[tuple[str, str], int]
    """From one wallet of ours to another."""
    ledger: Mapping[str, int]
    decimals: Mapping[str, int]


@dataclass(slots=True)
class OnChain:
    """What providers agree on; None: they do not, or none answers."""

    states: dict[str, State | None] = field(default_factory=dict)
    newest: dict[str, int] = field(default_factory=dict)
    """Logical time of each wallet's newest transaction that any provider has."""
    jettons: dict[str, WalletData | None] = field(default_factory=dict)
    named: dict[str, str | None] = field(default_factory=dict)
    """By jetton wallet: the one that its master names for our wallet."""


async def read_books(connection: Connection) -> Books:
    """All of it as of one moment."""
    async with connection.transaction(isolation="repeatable_read", readonly=True):
        faults = await read_faults(connection)
        wallets = await connection.fetch(WALLETS_SQL)
        jettons = await connection.fetch(JETTONS_SQL)
        came_in = await connection.fetch(CAME_IN_SQL)
        unposted = await connection.fetch(UNPOSTED_SQL)
        moved = await connection.fetch(MOVED_SQL)
        ledger = await connection.fetch(LEDGER_SQL)
    return Books(
        tuple(faults),
        tuple(
            OurWallet(
                row["address"],
                row["enabled"],
                row["after_lt"],
                from_json_or_none(row["position"]),
                row["excluded"],
            )
            for row in wallets
        ),
        tuple(OurJettons(**row) for row in jettons),
        {(row["account"], row["currency"]): int(row["amount"]) for row in came_in},
        sum(row["transactions"] for row in (*came_in, *moved, *moved) if row["currency"] == "TON"),
        {(row["account"], row["currency"]): int(row["amount"]) for row in unposted},
        {(row["account"], row["currency"]): int(row["amount"]) for row in moved},
        {row["currency"]: int(row["amount"]) for row in ledger},
        {row["currency"]: row["decimals"] for row in ledger},
    )


class Reconciliation:
    """One run."""

    def __init__(self, ctx: CheckerContext, providers: Providers, rules: Rules) -> None:
        self._ctx = ctx
        self._providers = providers
        self._rules = rules

    async def run(self) -> Report:
        """Look, and where something differs look again after a while: what is on its way is no fault."""
        chain = OnChain()
        async with self._ctx.db.acquire() as connection:
            books = await read_books(connection)
        first: dict[str, int] = {}
        found = Comparison((), complete=True, left=())
        for look in range(LOOKS):
            earlier = books
            await self._read(books, chain)
            async with self._ctx.db.acquire() as connection:
                books = await read_books(connection)
            first = {**chain.newest, **first}
            found = compare(books, chain, self._rules, Before(earlier, first, found.faults))
            if look + 1 == LOOKS or (not found.faults and found.complete) or self._ctx.stopping.is_set():
                break
            await asyncio.sleep(self._rules.recheck)
            self._ctx.heartbeat()
            chain = self._kept(books, chain)
        return Report((*books.faults, *found.faults), len(books.wallets), found.complete, tuple(found.left))

    def _kept(self, books: Books, chain: OnChain) -> OnChain:
        """What need not be asked again: states as of the wallet's cursor. Jettons always are."""
        cursors = {wallet.address: wallet.cursor for wallet in books.wallets}
        states: dict[str, State | None] = {
            address: state
            for address, state in chain.states.items()
            if state is not None and is_read(cursors.get(address), state)
        }
        return OnChain(states=states)

    async def _read(self, books: Books, chain: OnChain) -> None:
        """Jettons before the wallets: a notification that is on its way shows in the wallet's newest one."""
        limit = asyncio.Semaphore(AT_ONCE)
        configured = len(self._providers.names)

        async def jetton(one: OurJettons) -> None:
            async with limit:
                answers = await self._providers.run_each(one.address, "get_wallet_data", [], read_wallet_data)
                data: WalletData | None = agreed(answers, configured)
                chain.jettons[one.address] = data
                master = one.master or (data and data.master)
                if master:
                    stack = [Address(one.owner)]
                    named = await self._providers.run_each(master, "get_wallet_address", stack, read_address)
                    chain.named[one.address] = agreed(named, configured)
            self._ctx.heartbeat()

        async def wallet(one: OurWallet) -> None:
            async with limit:
                answers = await self._providers.states(one.address)
            chain.states[one.address] = agreed(answers, configured)
            states = [answer.value for answer in answers if isinstance(answer, Answer)]
            chain.newest[one.address] = max((state.at.lt for state in states if state.at), default=0)
            self._ctx.heartbeat()

        await asyncio.gather(*(jetton(one) for one in books.jettons))
        await asyncio.gather(*(wallet(one) for one in books.wallets if one.address not in chain.states))


def is_read(cursor: Position | None, state: State | None) -> bool:
    """True if the wallet's newest transaction is the one at the cursor. A wallet without any is read."""
    if state is None:
        return False
    return state.at == cursor or (state.at is None and (cursor is None or not cursor.lt))


@dataclass(frozen=True, slots=True)
class Before:
    """What was seen before a look: the books before it, each wallet's newest transaction at the first look,
    the faults of the last one."""

    books: Books
    newest: Mapping[str, int]
    faults: tuple[Fault, ...]

    def known(self, subject: str) -> bool:
        """Whether the last look had this fault."""
        return any(fault.subject == subject for fault in self.faults)


def compare(books: Books, chain: OnChain, rules: Rules, before: Before) -> Comparison:
    """The differences, and whether everything could be compared. Pure."""
    faults: list[Fault] = []
    held: Counter[str] = Counter()
    uncertain: set[str] = set()
    behind: set[str] = set()
    left: set[str] = set()
    cursors = {wallet.address: wallet.cursor for wallet in before.books.wallets}
    for wallet in books.wallets:
        state = chain.states.get(wallet.address)
        if state is None or (wallet.enabled and not is_read(wallet.cursor, state)):
            uncertain.add("TON")
            if wallet.enabled:
                behind.add(wallet.address)
            left.add(wallet.address)
            earlier, first = cursors.get(wallet.address), before.newest.get(wallet.address, 0)
            newest = chain.newest.get(wallet.address, 0)
            if not _is_being_read(wallet, state, earlier, first, newest):
                faults.append(_not_read(wallet, state))
            continue
        held["TON"] += state.balance
        faults += _surplus(books, wallet, wallet.address, "TON", state.balance)
    wallets = {wallet.address: wallet for wallet in books.wallets}
    for jettons in books.jettons:
        data = chain.jettons.get(jettons.address)
        faults += _wrong_jetton_wallet(jettons, data, chain.named.get(jettons.address))
        if data is None and books.came_in.get((jettons.owner, jettons.currency), 0):
            uncertain.add(jettons.currency)
            text = msg("log-reconcile-unreadable", account=jettons.address)
            faults.append(Fault(f"jetton wallet {jettons.address}", text, sure=False))
            continue
        balance = 0 if data is None else data.balance
        held[jettons.currency] += balance
        owner = wallets[jettons.owner]
        if owner.address in behind:
            uncertain.add(jettons.currency)
        elif owner.cursor != cursors.get(owner.address):
            uncertain.add(jettons.currency)  # booked since the jetton wallet was asked
            left.add(owner.address)
        else:
            found = _surplus(books, owner, jettons.address, jettons.currency, balance)
            faults += [_unless_on_its_way(fault, before) for fault in found]
    totals = _totals(books, held, uncertain, rules)
    faults += [_unless_on_its_way(fault, before) for fault in totals]
    return Comparison(tuple(faults), not uncertain, tuple(sorted(left)))


def _is_being_read(
    wallet: OurWallet, state: State | None, earlier: Position | None, first: int, newest: int
) -> bool:
    """Of a wallet that is not read up to its newest transaction. True if its newest one at the first look has
    been read since, or if the cursor passed `state` after the providers were asked.

    earlier: the cursor before the look; first, newest: logical times of the newest transaction that any
    provider had at the first look, and at this one.
    """
    cursor = wallet.cursor.lt if wallet.cursor else 0
    if state is not None and state.at is not None and cursor >= state.at.lt:
        return cursor > state.at.lt and (earlier is None or earlier.lt <= state.at.lt)
    return 0 < first <= cursor < newest


def _unless_on_its_way(fault: Fault, before: Before) -> Fault:
    """Jettons arrive some seconds before their notification: more than the books know of is no fault at first
    sight."""
    return fault if before.known(fault.subject) else replace(fault, sure=False)


def _not_read(wallet: OurWallet, state: State | None) -> Fault:
    """The subject has the cursor: one that moves between two runs is no wallet that is not read."""
    cursor = wallet.cursor.lt if wallet.cursor else 0
    subject = f"{WALLET}{wallet.address} at {cursor}"
    if state is None:
        return Fault(subject, msg("log-reconcile-unreadable", account=wallet.address), sure=False)
    newest = state.at.lt if state.at else 0
    ahead = cursor >= newest
    key = "log-reconcile-ahead" if ahead else "log-reconcile-behind"
    text = msg(key, account=wallet.address, cursor=str(cursor), newest=str(newest))
    return Fault(subject, text, sure=ahead)


def _surplus(books: Books, wallet: OurWallet, account: str, currency: str, balance: int) -> list[Fault]:
    """More on the chain than came in by the books: a missed deposit, or jettons without a notification.

    Not of a wallet with a history from before our time, or with excluded transactions.
    """
    key = (wallet.address, currency)
    known = books.came_in.get(key, 0) + books.unposted.get(key, 0) + books.moved.get(key, 0)
    if balance <= known or wallet.after_lt or wallet.excluded:
        return []
    decimals = books.decimals.get(currency, 0)
    text = msg(
        "log-reconcile-surplus",
        account=account,
        currency=currency,
        balance=in_whole(balance, decimals),
        known=in_whole(known, decimals),
        difference=in_whole(balance - known, decimals),
        wallet=wallet.address,
    )
    return [Fault(f"{currency} of {account}", text)]


def _wrong_jetton_wallet(jettons: OurJettons, data: WalletData | None, named: str | None) -> list[Fault]:
    subject = f"jetton wallet {jettons.address}"
    if data is not None and data.owner != jettons.owner:
        text = msg("log-ton-jetton-owner", wallet=jettons.address, owner=data.owner)
        return [Fault(subject, text)]
    if named is not None and named != jettons.address:
        master = jettons.master or (data.master if data else "")
        text = msg("log-ton-jetton-other", master=master, named=named, wallet=jettons.address)
        return [Fault(subject, text)]
    return []


def _totals(books: Books, held: Mapping[str, int], uncertain: set[str], rules: Rules) -> list[Fault]:
    unposted: dict[str, int] = defaultdict(int)
    for (_, currency), amount in books.unposted.items():
        unposted[currency] += amount
    faults: list[Fault] = []
    for currency, ledger in books.ledger.items():
        if currency in uncertain or (currency not in held and not ledger and not unposted[currency]):
            continue
        wanted = ledger + unposted[currency] + rules.expected.get(currency, 0)
        fees = books.transactions * rules.fee if currency == "TON" else 0
        difference = held.get(currency, 0) - wanted
        if -fees <= difference <= 0:
            continue
        decimals = books.decimals[currency]
        text = msg(
            "log-reconcile-total",
            currency=currency,
            held=in_whole(held.get(currency, 0), decimals),
            ledger=in_whole(ledger, decimals),
            unposted=in_whole(unposted[currency], decimals),
            expected=in_whole(rules.expected.get(currency, 0), decimals),
            difference=in_whole(difference, decimals),
        )
        faults.append(Fault(f"{currency} in all", text))
    return faults
