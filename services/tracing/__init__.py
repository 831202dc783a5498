"""Traces for who asks for them: OpenTelemetry, sent by OTLP."""
