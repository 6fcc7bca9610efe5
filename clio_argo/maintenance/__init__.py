"""Verifies that a finished run is whole, and repairs it."""
