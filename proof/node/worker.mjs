// A process with members of @platformatic/kafka, next-generation protocol (KIP-848).
//
// node worker.mjs {options}: told what to do on stdin as proof/worker.py is; writes the same journal.
import { closeSync, openSync, writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { pathToFileURL } from 'node:url'

const COMMIT_MS = 200
const REOPEN_MS = 500
const { bootstrap, topic, group, journal, library, options } = JSON.parse(process.argv[2])
const { Consumer } = await import(pathToFileURL(library).href)
const file = openSync(journal, 'a')
const seconds = () => Number(process.hrtime.bigint()) / 1e9
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms))

function write (member, event, facts = {}, t = seconds()) {
  writeSync(file, JSON.stringify({ t, member, event, ...facts }) + '\n')
}

/** The codes of an error and of those behind it: the innermost tells what happened. */
function codes (error, found = []) {
  for (const inner of error?.errors ?? []) codes(inner, found)
  if (error?.cause) codes(error.cause, found)
  if (error) found.push(error.apiId ?? error.code ?? error.name)
  return found
}

function failed (member, where, error) {
  write(member, 'failed', { where, error: codes(error)[0], text: String(error?.message).slice(0, 300) })
}

class Member {
  positions = new Map()
  committed = new Map()
  owned = new Set()
  taken = []
  stopping = false

  constructor (name) {
    this.name = name
    this.done = this.live()
  }

  async live () {
    write(this.name, 'started')
    while (!this.stopping) {
      try {
        await this.run()
      } catch (error) {
        failed(this.name, 'poll', error)
      }
      this.own([])
      if (!this.stopping) await sleep(REOPEN_MS)
    }
    write(this.name, 'stopped')
  }

  async run () {
    const consumer = new Consumer({
      clientId: this.name,
      groupId: group,
      groupProtocol: 'consumer',
      bootstrapBrokers: [bootstrap],
      autocommit: false,
      maxWaitTime: 200,
      retries: true,
      retryDelay: 250,
      connectTimeout: 2000,
      ...options
    })
    let broken = null
    let closing = false // from then on a stream says that its client is closed
    consumer.on('error', error => failed(this.name, 'client', error))
    // What is read from now on begins where the group stood not earlier than this was asked.
    let asked = 0
    const ask = consumer.listCommittedOffsets
    consumer.listCommittedOffsets = function (...given) {
      asked = seconds()
      return ask.apply(this, given)
    }
    try {
      const stream = await consumer.consume({ topics: [topic], mode: 'committed', fallbackMode: 'earliest' })
      const ended = new Promise(resolve => stream.once('close', resolve))
      stream.on('error', error => { if (!closing) broken = error })
      stream.on('offsets', () => this.begin(consumer, asked))
      stream.on('data', message => this.taken.push(message))
      while (!this.stopping && !stream.destroyed) {
        await Promise.race([sleep(COMMIT_MS), ended])
        this.take()
        this.own(partitionsOf(consumer))
        await this.commit(consumer)
      }
      this.take()
    } finally {
      closing = true
      await consumer.close(true).catch(error => failed(this.name, 'close', error))
    }
    if (broken) throw broken
  }


  /** All partitions are read from the committed offsets again, those that it keeps too. */
  begin (consumer, asked) {
    this.take()
    const partitions = partitionsOf(consumer)
    this.own(partitions)
    if (!partitions.length) return
    write(this.name, 'assigned', { partitions }, asked)
    for (const partition of partitions) {
      this.owned.add(partition)
      this.positions.delete(partition)
      this.committed.delete(partition)
    }
  }

  own (partitions) {
    const gone = [...this.owned].filter(one => !partitions.includes(one))
    if (!gone.length) return
    write(this.name, 'revoked', { partitions: gone })
    for (const partition of gone) {
      this.owned.delete(partition)
      this.positions.delete(partition)
      this.committed.delete(partition)
    }
  }

  take () {
    let run = null
    for (const { partition, offset, value } of this.taken.splice(0)) {
      const at = Number(offset)
      if (!run || run.partition !== partition || at !== run.offset + run.values.length) {
        if (run) write(this.name, 'read', run)
        run = { partition, offset: at, values: [] }
      }
      run.values.push(Number(value.toString()))
      if (this.owned.has(partition)) this.positions.set(partition, at + 1)
    }
    if (run) write(this.name, 'read', run)
  }

  async commit (consumer) {
    const fresh = [...this.positions].filter(([at, n]) => this.committed.get(at) !== n)
    if (!fresh.length) return
    const sent = seconds()
    const offsets = fresh.map(([partition, n]) => ({ topic, partition, offset: BigInt(n), leaderEpoch: -1 }))
    try {
      await consumer.commit({ offsets })
      for (const [at, n] of fresh) this.committed.set(at, n)
      write(this.name, 'committed', { sent, offsets: Object.fromEntries(fresh) })
    } catch (error) {
      failed(this.name, 'commit', error)
    }
  }
}

function partitionsOf (consumer) {
  return (consumer.assignments ?? []).filter(one => one.topic === topic).flatMap(one => one.partitions)
}

const members = new Map()
for await (const line of createInterface({ input: process.stdin })) {
  const [verb, who] = line.trim().split(' ')
  if (verb === 'start') members.set(who, new Member(who))
  else members.get(who).stopping = true
}
for (const member of members.values()) member.stopping = true
await Promise.race([Promise.all([...members.values()].map(one => one.done)), sleep(20_000)])
closeSync(file)
process.exit(0)
