"""Streams: what travels through a flow, the lane that reads it, the kernels that handle it, the exchange between."""
