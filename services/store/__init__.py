"""What lives in Valkey or Redis: profiles, catalogue, aggregates."""
