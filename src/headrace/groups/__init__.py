"""Group coordination as pure automata: no clock, no I/O, no randomness. `now_ms` comes from a clock
that never jumps; nothing that is kept depends on it.

`classic.step(group, request, now_ms)` gives what must be made durable and what to answer.

- `states` the table of states; `requests` what comes in and goes out; `changes` what must last
- `coordinated` what groups of every kind share; `group`, `member` the state of a classic one;
  `rebalance` the road from one generation to the next
- `join`, `sync`, `attend` (heartbeat, leave, commit), `tick` one request each
- `offsets` commits and their retention; `subscription`, `assignment` what consumers' bytes mean
- `kinds` all kinds behind one face; `conversion` how a group with members becomes of another kind,
  `classic_in_consumer` how its classic members are served then
- `share` who is in a share group and what they read (`share_group`, `share_heartbeat`, ...);
  `share_partition` which record is whose

What must not enter: time, sockets, tasks, SQL. `broker.group_coordinator` has those.
"""
