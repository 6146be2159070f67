"""What is declared: settings, topics, topologies, schemas, limits, fee tables, metrics and errors. Imports nothing of ours."""
