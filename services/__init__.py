"""What surrounds the flows: order entry, the simulated engine and venue, the verdict, and importers of market data."""
