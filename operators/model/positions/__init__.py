"""Positions at average cost and by FIFO, from a list of fills."""
