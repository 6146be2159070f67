"""Fees from dated tables, the ledger of an account, and the cost of trading."""
