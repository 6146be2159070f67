"""What carries records: the log's contract and its two implementations, Kafka and embedded."""
