/**
 * Models under one set of names: how a merge sees checkpoints that are alike but for how they were written.
 *
 * The first model's names hold. Others' tensors are read under them where `Naming` says which is which; a copy of the
 * embedding is no tensor of its own; and where some models have a head and others tie theirs, the embedding of those
 * stands for it and the result is untied. Nothing is decided about values: what still differs is refused later.
 */
import { Buffers, type Checkpoint, type SafetensorsError } from "@hila/model"
import * as Effect from "effect/Effect"
import type { Participant } from "./Participant.ts"
import * as Naming from "./Naming.ts"
import * as Ties from "./Ties.ts"

/** The tensors of a model as the merge calls them, each with the name it is stored under. */
export type Names = ReadonlyMap<string, string>

/** Models made alike. */
export interface Alike {
  /** One per model. */
  readonly names: ReadonlyArray<Names>
  /** Whether the result has a head of its own though the first model's config ties it. */
  readonly untied: boolean
  /** What was done, in one line each. */
  readonly notes: ReadonlyArray<string>
}

/** A checkpoint under these names. */
export const apply = (checkpoint: Checkpoint.Checkpoint, names: Names): Checkpoint.Checkpoint => ({
  ...checkpoint,
  tensors: new Map(
    [...names].flatMap(([name, stored]) => {
      const info = checkpoint.tensors.get(stored)
      return info === undefined ? [] : [[name, info.name === name ? info : { ...info, name }] as const]
    }),
  ),
})

interface Seen {
  readonly role: string
  readonly checkpoint: Checkpoint.Checkpoint
  readonly tied: boolean
  /** The stored name of the embedding that a head may be tied to. */
  readonly table: string | undefined
  readonly names: Map<string, string>
  /** Names, as the merge calls them, of tensors that are another's copy. */
  readonly copies: ReadonlySet<string>
}

/** The names of every model, the first model's being those of the result. */
export const of = Effect.fnUntraced(function* (
  participants: readonly [Participant, ...ReadonlyArray<Participant>],
): Effect.fn.Return<Alike, SafetensorsError> {
  const [first, ...others] = participants
  const notes: Array<string> = []
  const seen: Array<Seen> = [yield* see(first, undefined, notes)]
  for (const other of others) seen.push(yield* see(other, first, notes))
  for (const { copies, names, role } of seen) {
    for (const copy of copies) {
      const shared = !Ties.isHead(copy) && seen.every((model) => model.names.has(copy))
      if (shared || !names.delete(copy)) continue
      notes.push(`${copy} of ${role} is a copy of a tensor that it is tied to: merged as that one`)
    }
  }
  const untied = untie(seen, notes)
  notes.push(...leftOut(seen))
  return { names: seen.map(({ names }) => names), untied, notes }
})

/** A model under the first one's names. */
const see = Effect.fnUntraced(function* (
  { checkpoint, role }: Participant,
  first: Participant | undefined,
  notes: Array<string>,
): Effect.fn.Return<Seen, SafetensorsError> {
  const stored = [...checkpoint.tensors.keys()]
  const read =
    first === undefined ? undefined : Naming.correspondence([...first.checkpoint.tensors.keys()], stored)
  const alone = yield* Ties.alone(checkpoint)
  if (alone !== undefined)
    notes.push(`${alone.head} of ${role} is stored for the embedding too: taken as ${alone.embedding}`)
  const as = (name: string) => (name === alone?.head ? alone.embedding : (read?.get(name) ?? name))
  const renamed = stored.filter((name) => name !== alone?.head && as(name) !== name)
  const [example] = renamed
  if (example !== undefined && first !== undefined) {
    notes.push(
      `${renamed.length} tensors of ${role} have the names of ${first.role} here: ${example} is ${as(example)}`,
    )
  }
  const copies = [...(yield* Ties.copies(checkpoint))].map(as)
  return {
    role,
    checkpoint,
    tied: yield* Ties.declared(checkpoint.config),
    table: alone?.head ?? Ties.embeddingOf(checkpoint.tensors),
    names: new Map(stored.map((name) => [as(name), name])),
    copies: new Set(copies),
  }
})

/** Gives models that tie their head the one that others have; true where the first model's config is to say so. */
const untie = (seen: ReadonlyArray<Seen>, notes: Array<string>): boolean => {
  const head = seen.flatMap(({ names }) => [...names.keys()].filter(Ties.isHead))[0]
  if (head === undefined) return false
  for (const { names, role, table, tied } of seen) {
    const embedding = tied && !names.has(head) ? table : undefined
    if (embedding === undefined) {
      if (tied && names.has(head))
        notes.push(
          `${head} of ${role} differs from the embedding that its config.json ties it to: it counts, untied`,
        )
      continue
    }
    names.set(head, embedding)
    notes.push(`the head of ${role} is tied: its embedding takes part as ${head}`)
  }
  if (seen[0]?.tied !== true) return false
  notes.push(`the result has a head of its own: tie_word_embeddings is false in its config.json`)
  return true
}

/** Buffers that the first model lacks: they are in no result. */
const leftOut = ([first, ...others]: ReadonlyArray<Seen>): ReadonlyArray<string> =>
  others.flatMap(({ checkpoint, names, role }) => {
    const found = [...names].flatMap(([name, stored]) => {
      const info = checkpoint.tensors.get(stored)
      return info !== undefined && Buffers.is(info) && first?.names.has(name) === false ? [name] : []
    })
    return found.length === 0
      ? []
      : [
          `${found.length} tensors of ${role} that config.json determines are left out (${found[0]}${found.length === 1 ? "" : ", …"})`,
        ]
  })
