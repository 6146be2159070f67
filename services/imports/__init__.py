"""Importers: files of real market data become engine statuses and execution reports."""
