"""What is declared: settings, topics, topologies, schemas, limits, fees, metrics, errors. Imports nothing of ours."""
