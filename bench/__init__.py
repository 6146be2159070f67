"""The benchmarks: throughput and latency beside Kafka Streams, restart, cost against the number of keys, profile."""
