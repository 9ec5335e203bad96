/**
 * The special tokens of a checkpoint by their role: which text begins a sequence, ends it, fills a batch.
 *
 * As transformers finds them: tokenizer_config.json names them, else special_tokens_map.json, else the tokenizer's class
 * has one of its own.
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Checkpoint } from "../checkpoint/Checkpoint.ts"
import { readText } from "../internal/readText.ts"
import * as JsonText from "../checkpoint/JsonText.ts"
import { oneLine, optional } from "../checkpoint/ModelConfig.ts"
import { ModelError } from "../ModelError.ts"

const roles = [
  "bos_token",
  "eos_token",
  "unk_token",
  "pad_token",
  "sep_token",
  "cls_token",
  "mask_token",
] as const

type Role = (typeof roles)[number]

/** Role → text, of the roles that a checkpoint has. */
export type SpecialTokens = Readonly<Partial<Record<Role, string>>>

/** A special token, as text or with the flags of an added token. */
const Token = optional(Schema.Union([Schema.String, Schema.Struct({ content: Schema.String })]))

const Config = JsonText.fromText(
  Schema.Struct({
    tokenizer_class: optional(Schema.String),
    bos_token: Token,
    eos_token: Token,
    unk_token: Token,
    pad_token: Token,
    sep_token: Token,
    cls_token: Token,
    mask_token: Token,
  }),
)

const endOfText = "<|endoftext|>"

/** What a class of transformers 5 has where no file says it; classes whose names end with `Fast` are the same. */
const ofClass: Readonly<Record<string, SpecialTokens>> = {
  GPT2Tokenizer: { bos_token: endOfText, eos_token: endOfText, unk_token: endOfText },
  GPTNeoXTokenizer: { bos_token: endOfText, eos_token: endOfText, unk_token: endOfText },
  Qwen2Tokenizer: { eos_token: endOfText, pad_token: endOfText },
  LlamaTokenizer: { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>" },
  GemmaTokenizer: { bos_token: "<bos>", eos_token: "<eos>", unk_token: "<unk>", pad_token: "<pad>" },
}

/** Reads the special tokens of a checkpoint; none where it has neither file. */
export const read = Effect.fnUntraced(function* ({
  files,
}: Pick<Checkpoint, "files">): Effect.fn.Return<SpecialTokens, ModelError> {
  const configOf = Effect.fnUntraced(function* (name: string) {
    const path = files[name]
    const text = path === undefined ? "{}" : yield* readText(path)
    return yield* Effect.mapError(
      Schema.decodeUnknownEffect(Config)(text),
      ({ message }) => new ModelError({ model: path ?? name, problem: oneLine(message), blame: "input" }),
    )
  })
  const [config, map] = [yield* configOf("tokenizer_config.json"), yield* configOf("special_tokens_map.json")]
  const own = config.tokenizer_class?.replace(/Fast$/, "") ?? ""
  const fallback = Object.hasOwn(ofClass, own) ? ofClass[own] : {}
  return Object.fromEntries(
    roles.flatMap((role) => {
      // A null says that there is none.
      const named = config[role] !== undefined ? config[role] : (map[role] ?? fallback?.[role])
      if (named === undefined || named === null) return []
      return [[role, typeof named === "string" ? named : named.content]]
    }),
  )
})
