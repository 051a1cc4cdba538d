"""The numbers: `scripts/bench`. Not part of the package and never part of a test.

Every row names its durability policy, and every ratio compares two things of the same run.
"""
