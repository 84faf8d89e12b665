"""The checkers of this application."""


async def check_rates():
    raise ConnectionError("the exchange does not answer")
