"""FIX messages: found in logs, taken apart, put into the words of our contracts; pure, for imports and gateways."""
