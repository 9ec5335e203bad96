/**
 * Owners: names by which a process marks what is its own, such that others can tell whether it is still there.
 *
 * `<host>~<pid>~<start>~<random>`: the process's number alone would be taken for alive once the kernel gives it to
 * another; `start` is its start time where the system tells it (Linux). Two containers of one host count as two
 * hosts, since neither sees the other's processes.
 */
import { randomBytes } from "node:crypto"
import { readFileSync, readlinkSync } from "node:fs"
import { hostname } from "node:os"
import { atOr } from "../Lookup.ts"
import { codeOf } from "./systemError.ts"

const quietly = <A>(call: () => A, otherwise: A): A => {
  try {
    return call()
  } catch {
    return otherwise
  }
}

/** This machine, as its processes see it. */
const host = encodeURIComponent(
  `${hostname()}${quietly(() => readlinkSync("/proc/self/ns/pid"), "").replaceAll(/\D/g, ".")}`,
).replaceAll("~", "%7E")

/** When a process started, in the kernel's ticks: field 22 of its stat, counted after the name in parentheses. */
const unknown = "0"
const startOf = (pid: number): string =>
  quietly(() => {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8")
    return atOr(text.slice(text.lastIndexOf(")") + 2).split(" "), 19, unknown)
  }, unknown)

/** A new name of a process's own. */
export const create = (pid: number): string =>
  `${host}~${pid}~${startOf(pid)}~${randomBytes(6).toString("hex")}`

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch (cause) {
    return codeOf(cause) === "EPERM"
  }
}

/** Whether an owner is alive, dead, or on another host, where only its heartbeat can tell. */
export const condition = (owner: string): "alive" | "dead" | "elsewhere" => {
  const [at, pid, start] = owner.split("~")
  const number = Number(pid)
  if (at === undefined || start === undefined || !Number.isSafeInteger(number) || number <= 0) return "dead"
  if (at !== host) return "elsewhere"
  // A start that cannot be read, as when no more files can be opened, says nothing against it.
  return isAlive(number) && [start, unknown].includes(startOf(number)) ? "alive" : "dead"
}

/** An owner for people: `process 4711 on host`. */
export const describe = (owner: string): string => {
  const [at = "", pid] = owner.split("~")
  const name = quietly(() => decodeURIComponent(at), at)
  return `process ${pid} on ${name.replace(/\.+\d*\.*$/, "")}`
}
