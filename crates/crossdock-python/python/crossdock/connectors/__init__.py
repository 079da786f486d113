"""Connectors: one module each."""
