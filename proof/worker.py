"""`python -m proof.worker KIND {options}`: a process with members of one client library.

It is told what to do in lines on stdin: `start NAME`, `stop NAME`. When stdin ends, all stop.
"""

import importlib
import json
import os
import sys
import time
from typing import NoReturn

from proof.journal import Journal
from proof.members.member import Member, Work

__all__ = ["main"]

LIBRARIES = {
    "confluent": ("proof.members.confluent", "ConfluentMember"),
    "kafka-python": ("proof.members.kafka_python", "KafkaPythonMember"),
    "aiokafka": ("proof.members.aiokafka", "AiokafkaMember"),
    "confluent-share": ("proof.members.confluent_share", "ShareMember"),
}
STOP_S_MAX = 20


def main() -> NoReturn:
    library, options = sys.argv[1], json.loads(sys.argv[2])
    module, name = LIBRARIES[library]
    kind: type[Member] = getattr(importlib.import_module(module), name)
    journal = Journal(options.pop("journal"))
    work = Work(journal=journal, **options)
    members: dict[str, Member] = {}
    for line in sys.stdin:
        verb, _, who = line.strip().partition(" ")
        if verb == "start":
            members[who] = kind(who, work)
            members[who].start()
        else:
            members[who].stop()
    for member in members.values():
        member.stop()
    deadline = time.monotonic() + STOP_S_MAX
    for member in members.values():
        member.thread.join(max(0.0, deadline - time.monotonic()))
    os._exit(0)  # a client that still waits for its broker would keep the process


if __name__ == "__main__":
    main()
