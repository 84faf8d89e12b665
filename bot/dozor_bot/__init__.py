"""Telegram: polling, roles, commands, the transport of alerts."""

from dozor_bot.models_on_demand import build_models_on_demand

build_models_on_demand()
