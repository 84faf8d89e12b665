"""Notifications to text and buttons, in Russian and English."""
