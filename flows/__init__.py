"""What wires: a topology compiled into a Bytewax dataflow, run as one process or as a supervised cluster."""
