"""Commands for the author of a checker: init, check, try, schema, demo."""
