"""Pre-trade risk: limits, the checks, the decision, and what is kept of an account."""
