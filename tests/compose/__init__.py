"""The compose file in a real engine: `make test-compose`. Not collected by `make test`."""
