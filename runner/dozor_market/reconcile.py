"""The reconciliation's checker: the books against themselves and against the chain. Changes nothing.

Each difference is one incident, alerted once and then daily while it lasts. Needs the extra `ton`, which is
imported at the first run and not before.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from dozor.arguments import ArgumentProblem, checks_args
from dozor.errors import Fatal
from dozor.extras import Extra, needs_extra
from dozor.language import msg
from dozor.toolkit.context import CheckerContext
from dozor_market.arguments.amounts import amount_problems, read_amount, read_signed
from dozor_market.arguments.counts import seconds_problems
from dozor_market.arguments.ton import check_provider_args, first_problem
from dozor_market.ton_deposits import provider_options, require_currencies

DEFAULT_FEE: Final = 4_000_000
"""Nanotons of network fees that one incoming transaction costs our wallet at most."""
SHOWN: Final = 10
"""Wallets shown that could not be compared."""
DEFAULT_RECHECK: Final = 10.0
"""Seconds after which a difference is looked at again."""


def check_reconcile_args(args: Mapping[str, Any]) -> Iterator[ArgumentProblem]:
    """What is wrong with the checker's arguments."""
    if args.get("expected") is not None:
        yield from amount_problems(args, "expected", signed=True)
    if "fee_per_transaction" in args:
        try:
            read_amount("TON", args["fee_per_transaction"])
        except ValueError as error:
            yield ArgumentProblem(("fee_per_transaction",), str(error))
    yield from seconds_problems(args, "recheck", zero=True)
    yield from check_provider_args(args)


def read_reconcile_amounts(expected: Any, fee: Any, recheck: Any) -> tuple[dict[str, int], int]:
    """The arguments `expected` and `fee_per_transaction` in smallest units. Raises Fatal."""
    args = {"expected": expected, "fee_per_transaction": fee, "recheck": recheck}
    try:
        first_problem(check_reconcile_args(args))
    except ValueError as error:
        raise Fatal(msg("error-reconcile-args", error=error)) from error
    amounts = {currency: read_signed(currency, amount) for currency, amount in (expected or {}).items()}
    return amounts, read_amount("TON", fee)


@needs_extra(Extra.TON)
@checks_args(check_reconcile_args)
async def reconcile(
    ctx: CheckerContext,
    *,
    providers: Sequence[Mapping[str, Any]] = ({"kind": "toncenter"},),
    testnet: bool = False,
    expected: Mapping[str, int | str] | None = None,
    fee_per_transaction: int | str = DEFAULT_FEE,
    recheck: float = DEFAULT_RECHECK,
) -> None:
    """Compare the ledger with itself and with the balances on the chain.

    providers, testnet: as of the deposits' checker.
    expected: by currency, what the wallets hold beyond the ledger and people know about, such as an opening
    balance or deposits that were excluded; negative: less than the ledger.
    fee_per_transaction: TON by which the chain may be behind the ledger for each incoming transaction.
    Amounts are integers of the smallest unit, or text such as "1.5 TON" (amounts.py).
    recheck: seconds after which a difference is looked at again before it is reported.

    Raises Fatal when the extra `ton` is not installed or an argument makes no sense.
    """
    amounts = read_reconcile_amounts(expected, fee_per_transaction, recheck)
    options = provider_options(providers)
    from dozor_market.ton import incidents
    from dozor_market.ton.incidents import IncidentKind, Sighting
    from dozor_market.ton.providers.port import open_providers
    from dozor_market.ton.wallets.reconciliation import WALLET, Reconciliation, Rules

    rules = Rules(*amounts, recheck)
    await require_currencies(ctx, {"expected": expected})
    async with open_providers(options, testnet=testnet) as opened:
        report = await Reconciliation(ctx, opened, rules).run()
    kind = IncidentKind.RECONCILIATION
    await incidents.record(
        ctx.db, [Sighting(kind, fault.subject, fault.text, urgent=fault.sure) for fault in report.faults]
    )
    seen = [fault.subject for fault in report.faults]
    await incidents.end_unseen(ctx, kind, seen, "" if report.complete else WALLET)
    late = IncidentKind.NOT_COMPARED
    if report.complete:
        await incidents.end_unseen(ctx, late, [])
    else:
        shown = ", ".join(report.left[:SHOWN])
        text = msg("log-reconcile-left", count=len(report.left), wallets=shown)
        await incidents.record(ctx.db, [Sighting(late, "the books", text, urgent=False)])
    await incidents.alert_due(ctx, [kind, late])
    ctx.log.info(
        msg(
            "log-reconcile-done",
            wallets=report.wallets,
            faults=len(report.faults),
            complete="yes" if report.complete else "no",
        )
    )
