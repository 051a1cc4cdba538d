"""Real clients in groups that grow and shrink while records flow and the broker is killed.

`scripts/churn` runs it; `docs/RELIABILITY.md` tells what it shows. The consumers run in processes
of their own (`group`, `worker`, `node/worker.mjs`) and write down what happens to them (`journal`);
what the journals must not say is in `judge`, which knows no clock, no client and no broker.
"""
