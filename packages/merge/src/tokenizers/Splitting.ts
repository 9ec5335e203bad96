/**
 * How tokenizers split text before and while they make tokens, compared: a result splits as one of them does, so the
 * tokens of another may never arise in it.
 */
import type { TokenizerFile } from "./TokenizerFile.ts"

interface Named {
  readonly name: string
  readonly file: TokenizerFile
}

const parts = ["normalizer", "pre_tokenizer"] as const

/** Options of the vocabulary's model with what they are where a file does not say. */
const options: ReadonlyArray<readonly [name: string, absent: unknown]> = [
  ["unk_token", null],
  ["byte_fallback", false],
  ["fuse_unk", false],
  ["ignore_merges", false],
  ["dropout", null],
  ["continuing_subword_prefix", null],
  ["end_of_word_suffix", null],
  ["max_input_chars_per_word", 100],
]

/** One line for each tokenizer that splits otherwise than the first, whose way is the result's. */
export const notesOf = (first: Named, others: ReadonlyArray<Named>): ReadonlyArray<string> =>
  others.flatMap(({ file, name }) => {
    const unlike = differences(first.file, file)
    return unlike.length === 0
      ? []
      : [
          `${name} splits text otherwise than ${first.name} (${unlike.join(", ")}), whose way the result has: some tokens of ${name} may never arise in it`,
        ]
  })

const differences = (a: TokenizerFile, b: TokenizerFile): ReadonlyArray<string> => {
  if (a.text === b.text) return []
  if (a.kind !== b.kind) return [`${b.kind} for ${a.kind}`]
  return [
    ...parts.filter((part) => canonical(a.parts[part]) !== canonical(b.parts[part])),
    ...options
      .filter(
        ([name, absent]) => canonical(a.options[name] ?? absent) !== canonical(b.options[name] ?? absent),
      )
      .map(([name]) => name),
    ...(otherMerges(a, b) ? ["merges"] : []),
  ]
}

/** Whether tokenizers of the same tokens make them in another order. */
const otherMerges = (a: TokenizerFile, b: TokenizerFile): boolean =>
  a.vocabulary.size === b.vocabulary.size &&
  [...a.vocabulary.keys()].every((token) => b.vocabulary.has(token)) &&
  JSON.stringify(a.merges) !== JSON.stringify(b.merges)

/** A value as text that does not depend on the order of keys. */
const canonical = (value: unknown): string =>
  JSON.stringify(value ?? null, (_, inner: unknown) =>
    typeof inner === "object" && inner !== null && !Array.isArray(inner)
      ? Object.fromEntries(Object.entries(inner).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : inner,
  )
