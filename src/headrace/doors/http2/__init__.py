"""The gRPC door: a small HTTP/2 receiver for streams of many small messages, and gRPC on it.

Two halves. Without I/O, clock or loop: `walker` finds frames in bytes, `connection` keeps the
rules of RFC 9113, `sending` frames what leaves, `grpc` turns streams into calls of `services`.
With them: `protocol` drives one of those from a transport, `listener` owns the port.

DATA is copied once, from the shared receive buffer to its stream, and handed over as one view of
all messages that a read completed: Python runs once per frame and a few steps per message, and
makes no object for either.
"""
