"""`headrace demo`: a year of real flights through a broker that is killed on the way.

Three producer processes, a group of three consumer processes, one probe and one verifier, all
plain Kafka clients (librdkafka), against a broker that is a real child process. Read in this order:
`flights_file` and `events` (what is sent), `board` and `checker` (what is made of it and how it is
judged), `producer`, `consumer`, `probe`, `verifier` (the processes), `job` (who starts, kills and
counts), `command` (the door).

What must not enter: anything of the broker. The demo believes only what a client can see.
"""
