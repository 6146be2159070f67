"""A one-node Apache Kafka broker (KRaft) for development and tests; never for production."""
