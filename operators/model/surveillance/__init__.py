"""What people should look at: orders, ratios, wash trades, and the alerts about them."""
