"""Keyed state: the store of one key group, how it catches up with its changelog, and who owns it."""
