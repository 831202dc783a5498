"""One command: embedded Valkey and all services in one process."""
