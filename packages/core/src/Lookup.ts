/**
 * Lookups that cannot fail: by an index that is in range, by a key that is there.
 *
 * Types cannot say either, and a fall-back (`?? 0`) would turn a mistake of ours into a wrong result without a word.
 * These die instead, with the place, the key and the size. They are not for what a user's input may lack: that is a
 * tagged error. Where absence is an ordinary answer (a counter not yet begun), `entryOr` and `atOr` say so.
 */

/** The function that was asked; the place is that of its caller. */
type Lookup = (...args: ReadonlyArray<never>) => unknown

/** Something that Hila holds for certain was not so: a defect, never the user's mistake. */
export class InvariantError extends Error {
  override readonly name = "InvariantError"
  /** Where the lookup stands in the source: `Region.ts:120`. */
  readonly place: string
  /** The index or key that was looked up. */
  readonly key: unknown
  /** How many there were, where that is known. */
  readonly size: number | undefined

  constructor(key: unknown, size: number | undefined, lookup: Lookup) {
    super()
    Error.captureStackTrace(this, lookup)
    this.place = /([^/\\\s(]+:\d+):\d+\)?$/m.exec(this.stack ?? "")?.[1] ?? "an unknown place"
    this.key = key
    this.size = size
    const where = `${key === undefined ? "" : ` at ${quoted(key)}`}${size === undefined ? "" : ` of ${size}`}`
    this.message = `a defect of Hila: nothing${where}, in ${this.place}`
  }
}

const quoted = (key: unknown): string => (typeof key === "string" ? JSON.stringify(key) : String(key))

/**
 * The value at an index of an array, a typed array or a string; none of them may hold `undefined`.
 *
 * It is one function for all kinds of array, which costs some 20 ns in all; a loop over elements reads by itself, see `known`.
 */
export const at = <A>(values: ArrayLike<A>, index: number): A => {
  const value = values[index]
  return value === undefined ? missing(index, values.length, at) : value
}

/** The last value of an array that is not empty. */
export const last = <A>(values: ArrayLike<A>): A => {
  const value = values[values.length - 1]
  return value === undefined ? missing(-1, values.length, last) : value
}

/** The value at an index, or another: for an index that may well be out of range. */
export const atOr = <A, B>(values: ArrayLike<A>, index: number, other: B): NonNullable<A> | B =>
  values[index] ?? other

/** The value of a key that is in a map or among a record's own properties. */
export function entry<K, A>(entries: ReadonlyMap<K, A>, key: K): A
export function entry<A>(entries: Readonly<Record<string, A>>, key: string): A
export function entry(entries: Entries, key: unknown): unknown {
  const value = find(entries, key)
  return value === undefined ? missing(key, sizeOf(entries), entry) : value
}

/** The value of a key, or another: for a key that may well be absent, such as that of a counter not yet begun. */
export function entryOr<K, A>(entries: ReadonlyMap<K, A>, key: K, other: NoInfer<A>): NonNullable<A>
export function entryOr<A>(
  entries: Readonly<Record<string, A>>,
  key: string,
  other: NoInfer<A>,
): NonNullable<A>
export function entryOr<K, A, B>(entries: ReadonlyMap<K, A>, key: K, other: B): NonNullable<A> | B
export function entryOr<A, B>(entries: Readonly<Record<string, A>>, key: string, other: B): NonNullable<A> | B
export function entryOr(entries: Entries, key: unknown, other: unknown): unknown {
  return find(entries, key) ?? other
}

/**
 * A value that is there: in loops over elements (`known(values[i])`, which costs nothing), and where other functions
 * look up (`known(pattern.exec(name), name)`); the key, if given, is told.
 */
export const known = <A>(value: A | null | undefined, key?: string | number): A =>
  value === undefined || value === null ? missing(key, undefined, known) : value

type Entries = ReadonlyMap<unknown, unknown> | Readonly<Record<string, unknown>>

const find = (entries: Entries, key: unknown): unknown => {
  if (entries instanceof Map) return entries.get(key)
  const record = entries as Readonly<Record<string, unknown>>
  return Object.hasOwn(record, key as string) ? record[key as string] : undefined
}

const sizeOf = (entries: Entries): number =>
  entries instanceof Map ? entries.size : Object.keys(entries).length

/** Apart, so that the lookups themselves stay small enough to be inlined. */
const missing = (key: unknown, size: number | undefined, lookup: Lookup): never => {
  throw new InvariantError(key, size, lookup)
}
