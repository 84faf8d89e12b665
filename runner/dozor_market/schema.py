"""The marketplace's migrations, found through the entry point group `dozor.migrations`."""

from __future__ import annotations

from dozor.storage.postgres.migration_sets import FORMERLY_CORE, MigrationSet

MIGRATIONS = MigrationSet("market", "dozor_market", formerly_core=FORMERLY_CORE)
"""Numbers 0010 to 0014 are those of version 0.1; new files begin at 0017."""
