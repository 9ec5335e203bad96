/**
 * Records of finished stages, with a copy of each stage's records in one file, so that a plan of a thousand hits opens
 * one file instead of a thousand.
 *
 * The copy counts while the directory of the records is unchanged: a record is only ever written or removed by a rename
 * or an unlink there, which change the directory's times. As with the user's files, a directory that changed within
 * the clock's grain could change again without a trace, so no copy is made of it yet. Whatever the copy does not hold is
 * read from its own file; a copy that cannot be read or written costs time, nothing else.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Action } from "../Action.ts"
import * as Digest from "../Digest.ts"
import { Disk } from "../Disk.ts"
import type { StoreError } from "../CoreError.ts"
import { storeSync } from "./files.ts"
import type { Layout } from "./layout.ts"
import { isDigest } from "./names.ts"
import { writeAtomic } from "./publication.ts"
import * as scratch from "./scratch.ts"
import type { Texts } from "./texts.ts"

/** A record is plain JSON: it need only be checked, and a thousand of them are checked for every plan. */
const isAction = Schema.is(Action)

/** A record of a newer format or a damaged one is no record. */
export const decode = (text: string): Option.Option<Action> => {
  try {
    const value: unknown = JSON.parse(text)
    return isAction(value) ? Option.some(value) : Option.none()
  } catch {
    return Option.none()
  }
}

/** A file system may stamp times no finer than this. */
const grainMilliseconds = 2000
/** Fewer records than this are read as fast one by one; more than that many would cost memory for nothing. */
const worthwhile = { least: 64, most: 20_000 }

/** What this process knows of the records of one stage. */
interface Known {
  /** The directory as it was before the first record was read. */
  readonly stamp: string
  /** When it had changed, in milliseconds since 1970. */
  readonly changed: number
  /** Records read from their own files; undefined once this process has changed the directory. */
  read: Map<string, Action> | undefined
  /** The copy: read when enough records have been asked for, empty where it does not count. */
  copy: Readonly<Record<string, Action>> | undefined
}

/** The first line is the digest of the rest, so that the rest need not be checked record by record. */
const encodeCopy = (stamp: string, records: ReadonlyMap<string, Action>): string => {
  const body = JSON.stringify({ stamp, records: Object.fromEntries(records) })
  return `${Digest.of(body)}\n${body}`
}

const decodeCopy = (text: string | undefined, stamp: string): Readonly<Record<string, Action>> => {
  const end = text?.indexOf("\n") ?? -1
  if (text === undefined || end === -1) return {}
  const body = text.slice(end + 1)
  if (Digest.of(body) !== text.slice(0, end)) return {}
  const copy: { readonly stamp: string; readonly records: Readonly<Record<string, Action>> } =
    JSON.parse(body)
  return copy.stamp === stamp ? copy.records : {}
}

export const make = (layout: Layout, texts: Texts) => {
  const stages = new Map<string, Known>()

  const knownOf = (disk: Disk, stage: string): Known => {
    const before = stages.get(stage)
    if (before !== undefined) return before
    const info = disk.stat(layout.actions(stage))
    const known = {
      stamp: info?.stamp ?? "",
      changed: info?.changed ?? Infinity,
      read: new Map(),
      copy: undefined,
    }
    stages.set(stage, known)
    return known
  }

  const fromFile = (stage: string, key: string): Effect.Effect<Option.Option<Action>, StoreError> =>
    Effect.map(texts.read(layout.action(stage, key)), (text) =>
      text === undefined ? Option.none() : decode(text),
    )

  const copied = (stage: string, key: string): Action | undefined => {
    const known = stages.get(stage)
    const found = known?.read === undefined ? undefined : known.copy?.[key]
    // Whoever writes the copy writes its digest too: what becomes a path is looked at here.
    return found?.key === key && isDigest(found.digest) ? found : undefined
  }

  const read = (stage: string, key: string): Effect.Effect<Option.Option<Action>, StoreError> => {
    const found = copied(stage, key)
    if (found !== undefined) return Effect.succeedSome(found)
    return Effect.gen(function* () {
      const known = yield* storeSync("read", layout.actions(stage), (disk) => {
        const at = knownOf(disk, stage)
        if (at.copy === undefined && (at.read?.size ?? 0) >= worthwhile.least / 4) {
          at.copy = decodeCopy(disk.text(layout.records(stage)), at.stamp)
        }
        return at
      })
      const action = yield* fromFile(stage, key)
      if (Option.isSome(action)) known.read?.set(key, action.value)
      return action
    })
  }

  /** After this process has changed a stage's records, the copy no longer counts and none is made. */
  const changed = (stage: string): Effect.Effect<void> =>
    Effect.map(Disk, (disk) => {
      knownOf(disk, stage).read = undefined
    })

  const isWorthIt = ({ changed: at, copy, read: found }: Known): boolean =>
    found !== undefined &&
    found.size + Object.keys(copy ?? {}).length <= worthwhile.most &&
    found.size >= worthwhile.least &&
    Date.now() - at > grainMilliseconds

  const save = Effect.flatMap(Disk, (disk) =>
    Effect.promise(async () => {
      for (const [stage, known] of stages) {
        if (!isWorthIt(known) || disk.stat(layout.actions(stage))?.stamp !== known.stamp) continue
        const all = new Map([...Object.entries(known.copy ?? {}), ...(known.read ?? [])])
        const text = encodeCopy(known.stamp, all)
        await writeAtomic(disk, layout.records(stage), text, scratch.name(layout, disk)).catch(
          () => undefined,
        )
      }
    }),
  )

  return { read, changed, save }
}
