"""Measures a running service; nothing here is a test."""
