"""The pure domain: events, orders, fees, risk, positions and views as functions without clock or I/O."""
