"""The order status job on other engines, and the harness that measures any engine on the same work."""
