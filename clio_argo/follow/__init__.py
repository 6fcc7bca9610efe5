"""Watches a stack while it is recorded: judges each slice as it arrives, tells people, and keeps what it measured."""
