"""Avro in the Confluent wire format: batches as Arrow, single records, schema sources, the JSON form."""
