/**
 * The tokenizer process seen from the process that uses it: requests with replies, a fresh process after a death.
 *
 * It starts with the first request, serves every tokenizer, and keeps nobody alive: without a request in progress the
 * program may end, and it ends with it. A tokenizer that the running process does not have, since it is a fresh one, is
 * opened before it is asked.
 */
import * as Effect from "effect/Effect"
import { type ChildProcess, fork } from "node:child_process"
import { Socket } from "node:net"
import type { Definition, Envelope, Reply, Request } from "./Protocol.ts"

const entry = new URL(import.meta.url.endsWith(".ts") ? "./Process.ts" : "./Process.js", import.meta.url)

/** Why there is no answer: the library refused, or its process died of the request. */
export interface Refusal {
  readonly problem: string
  readonly died: boolean
}

type Answer = Effect.Effect<Exclude<Reply, { _tag: "Failed" }>, Refusal>

interface Living {
  readonly child: ChildProcess
  readonly pending: Map<number, (answer: Answer) => void>
  /** Keys of the tokenizers that it has. */
  readonly opened: Set<number>
}

let living: Living | undefined
let nextId = 0
let nextKey = 0

/** Whether the program waits for the process, or may end without it. */
const hold = ({ child, pending }: Living): void => {
  const how = pending.size > 0 ? "ref" : "unref"
  child[how]()
  child.channel?.[how]()
  if (child.stderr instanceof Socket) child.stderr[how]()
}

/** What a dying library said last. */
const lastWords = (said: string): string => {
  const lines = said.split("\n").flatMap((line) => (line.trim() === "" ? [] : [line.trim()]))
  const panic = lines.findIndex((line) => line.includes("panicked at"))
  const words = panic < 0 ? lines.at(-1) : lines[panic + 1]
  return words === undefined ? "" : `: ${words.slice(0, 300)}`
}

const start = (): Living => {
  const child = fork(entry, {
    execArgv: ["--disable-warning=ExperimentalWarning"],
    serialization: "advanced",
    stdio: ["ignore", "ignore", "pipe", "ipc"],
  })
  const started: Living = { child, pending: new Map(), opened: new Set() }
  let said = ""
  child.stderr?.setEncoding("utf8").on("data", (text: string) => (said = (said + text).slice(0, 8192)))
  child.on("message", (message) => {
    const { body, id } = message as Envelope<Reply>
    const resume = started.pending.get(id)
    started.pending.delete(id)
    hold(started)
    resume?.(
      body._tag === "Failed" ? Effect.fail({ problem: body.problem, died: false }) : Effect.succeed(body),
    )
  })
  const end = (how: string) => {
    if (living === started) living = undefined
    for (const resume of started.pending.values()) {
      resume(Effect.fail({ problem: `the tokenizer library ${how}${lastWords(said)}`, died: true }))
    }
    started.pending.clear()
  }
  child.on("error", (error) => end(`could not be started (${error.message})`))
  // `close` and not `exit`: what it said last has come by then.
  child.on("close", (code, signal) => end(`died (${signal ?? `exit code ${code}`})`))
  return started
}

const send = (
  { child, opened, pending }: Living,
  body: Request,
  resume?: (answer: Answer) => void,
): number => {
  const id = nextId++
  if (resume !== undefined) pending.set(id, resume)
  if (body._tag === "Open") opened.add(body.key)
  child.send({ id, body } satisfies Envelope<Request>)
  return id
}

/** A tokenizer that the process has, or opens again. */
export interface Handle {
  readonly key: number
  readonly definition: Definition
}

export const handle = (definition: Definition): Handle => ({ key: nextKey++, definition })

/** Lets a tokenizer go that is no longer used; one that is asked all the same is opened again. */
export const close = (key: number): void => {
  if (living?.opened.delete(key) === true) send(living, { _tag: "Close", key })
}

/** Asks the process; interrupted while nobody else waits for it, it is ended, whatever it is working on. */
export const request = ({ definition, key }: Handle, body: Exclude<Request, { _tag: "Close" }>): Answer =>
  Effect.callback((resume) => {
    const asked = (living ??= start())
    if (body._tag !== "Open" && !asked.opened.has(key)) send(asked, { _tag: "Open", key, definition })
    const id = send(asked, body, resume)
    hold(asked)
    return Effect.sync(() => {
      asked.pending.delete(id)
      hold(asked)
      if (asked.pending.size > 0) return
      if (living === asked) living = undefined
      asked.child.kill("SIGKILL")
    })
  })
