"""Checkers that use the ORM: a plain `def` runs in a thread, where Django's database access may block."""

from django.db import close_old_connections


def check_rates(ctx):
    from site_app.models import Order

    close_old_connections()
    try:
        stuck = Order.objects.filter(paid=True, shipped=False).count()
        ctx.log.info("rates are checked, orders stuck: {}", stuck)
    finally:
        close_old_connections()
