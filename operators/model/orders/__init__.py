"""The life of an order: the scalar rules, and the same over many orders as columns."""
