"""Headrace: a durable event-streaming log that speaks the Kafka protocol."""

__all__ = ["__version__"]

__version__ = "0.1.0"
