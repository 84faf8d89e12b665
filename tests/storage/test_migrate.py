from runner.storage.migrate import check, load_migrations


async def test_the_template_is_up_to_date(database: str) -> None:
    assert load_migrations()
    assert (await check(database)).up_to_date
