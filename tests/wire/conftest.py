"""Hypothesis without a deadline for each example: codecs are compiled and libraries imported on
first use, and a busy machine is no bug. The timeout of a whole test stays."""

from hypothesis import settings

settings.register_profile("headrace", deadline=None)
settings.load_profile("headrace")
