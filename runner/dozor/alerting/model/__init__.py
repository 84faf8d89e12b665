"""Data of alerting: incident, notification, message, and their stored form."""
