"""The least that Django needs."""

SECRET_KEY = "an example"  # noqa: S105 -- signs nothing here
INSTALLED_APPS = ["site_app"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "site.sqlite3"}}
USE_TZ = True
