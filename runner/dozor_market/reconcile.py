"""The reconciliation's checker: the books against themselves and against the chain. Changes nothing.

Each difference is one incident, alerted once and then daily while it lasts. Needs the extra `ton`, which is
imported at the first run and not before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from dozor.errors import Fatal
from dozor.extras import Extra, needs_extra
from dozor.language import msg
from dozor.toolkit.context import CheckerContext
from dozor_market.ton_deposits import provider_options

DEFAULT_FEE: Final = 4_000_000
"""Nanotons of network fees that one incoming transaction costs our wallet at most."""
DEFAULT_RECHECK: Final = 10.0
"""Seconds after which a difference is looked at again."""


@needs_extra(Extra.TON)
async def reconcile(
    ctx: CheckerContext,
    *,
    providers: Sequence[Mapping[str, Any]] = ({"kind": "toncenter"},),
    testnet: bool = False,
    expected: Mapping[str, int] | None = None,
    fee_per_transaction: int = DEFAULT_FEE,
    recheck: float = DEFAULT_RECHECK,
) -> None:
    """Compare the ledger with itself and with the balances on the chain.

    providers, testnet: as of the deposits' checker.
    expected: by currency, smallest units that the wallets hold beyond the ledger and that people know about,
    such as an opening balance or deposits that were excluded; negative: less than the ledger.
    fee_per_transaction: nanotons by which the chain may be behind the ledger for each incoming transaction.
    recheck: seconds after which a difference is looked at again before it is reported.

    Raises Fatal when the extra `ton` is not installed or an argument makes no sense.
    """
    options = provider_options(providers)
    from dozor_market.ton import incidents
    from dozor_market.ton.incidents import IncidentKind, Sighting
    from dozor_market.ton.providers import open_providers
    from dozor_market.ton.reconciliation import Reconciliation, Rules

    rules = Rules(_amounts(expected), _amount("fee_per_transaction", fee_per_transaction), recheck)
    if fee_per_transaction < 0:
        raise Fatal(msg("error-reconcile-args", name="fee_per_transaction", value=repr(fee_per_transaction)))
    async with open_providers(options, testnet=testnet) as opened:
        report = await Reconciliation(ctx, opened, rules).run()
    kind = IncidentKind.RECONCILIATION
    await incidents.record(
        ctx.db, [Sighting(kind, fault.subject, fault.text, urgent=fault.sure) for fault in report.faults]
    )
    if report.complete:
        await incidents.end_unseen(ctx, kind, [fault.subject for fault in report.faults])
    await incidents.alert_due(ctx, [kind])
    ctx.log.info(
        msg(
            "log-reconcile-done",
            wallets=report.wallets,
            faults=len(report.faults),
            complete="yes" if report.complete else "no",
        )
    )


def _amounts(given: Any) -> dict[str, int]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise Fatal(msg("error-reconcile-args", name="expected", value=repr(given)))
    return {str(code): _amount(f"expected.{code}", amount) for code, amount in given.items()}


def _amount(name: str, given: Any) -> int:
    if isinstance(given, bool) or not isinstance(given, int):
        raise Fatal(msg("error-reconcile-args", name=name, value=repr(given)))
    return given
