"""Decisions of people about money, each recorded in the audit."""
