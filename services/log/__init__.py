"""The event log: one Protocol, a Kafka and a Valkey Streams adapter that pass one behaviour suite."""
