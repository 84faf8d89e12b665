"""The checkers of this application."""


async def check_rates(ctx):
    ctx.log.info("rates are checked, run {}", ctx.run_id)
