/**
 * The tokenizer.json that a byte-level BPE of vocab.json and merges.txt would have, by the class that
 * tokenizer_config.json names.
 *
 * Which classes split text how is all that is known here; files are read by `Tokenizer`.
 */
import * as Schema from "effect/Schema"
import { optional } from "../checkpoint/ModelConfig.ts"

const Content = Schema.Struct({ content: Schema.String })

const AddedToken = Schema.Struct({
  content: Schema.String,
  lstrip: optional(Schema.Boolean),
  rstrip: optional(Schema.Boolean),
  normalized: optional(Schema.Boolean),
  single_word: optional(Schema.Boolean),
  special: optional(Schema.Boolean),
})

/** A special token, by its text or as an object; older configs call such objects AddedToken. */
const Special = optional(Schema.Union([Schema.String, Content]))

/** What is read of a tokenizer_config.json. */
export const Config = Schema.Struct({
  tokenizer_class: optional(Schema.String),
  add_prefix_space: optional(Schema.Boolean),
  add_bos_token: optional(Schema.Boolean),
  bos_token: Special,
  eos_token: Special,
  unk_token: Special,
  pad_token: Special,
  /** Id → token. */
  added_tokens_decoder: optional(Schema.Record(Schema.String, AddedToken)),
})

export interface Files {
  readonly config: typeof Config.Type
  /** Token → id, of vocab.json. */
  readonly vocabulary: Readonly<Record<string, number>>
  /** The text of merges.txt: one pair a line, earlier ones first. */
  readonly merges: string
  /** Token → id, of added_tokens.json. */
  readonly added: Readonly<Record<string, number>>
}

const bytes = { type: "ByteLevel", add_prefix_space: false, trim_offsets: false, use_regex: true } as const

/** GPT-4's way to split text, with one digit at a time, on composed characters (Qwen, 2023). */
const qwenPattern =
  "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" +
  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/** How a class normalises and splits text before its bytes are merged. */
const classes: Readonly<Record<string, (prefixSpace: boolean) => object>> = {
  GPT2Tokenizer: (prefixSpace) => ({
    normalizer: null,
    pre_tokenizer: { ...bytes, add_prefix_space: prefixSpace, use_regex: true },
  }),
  Qwen2Tokenizer: (prefixSpace) => ({
    normalizer: { type: "NFC" },
    pre_tokenizer: {
      type: "Sequence",
      pretokenizers: [
        { type: "Split", pattern: { Regex: qwenPattern }, behavior: "Isolated", invert: false },
        { ...bytes, add_prefix_space: prefixSpace, use_regex: false },
      ],
    },
  }),
}

/** The classes whose vocab.json and merges.txt can be read. */
export const known: ReadonlyArray<string> = Object.keys(classes)

/** The definition; undefined where the class is not known. A class that ends with `Fast` is the one without. */
export const definition = ({
  added,
  config,
  merges,
  vocabulary,
}: Files): Record<string, unknown> | undefined => {
  const name = config.tokenizer_class?.replace(/Fast$/, "") ?? ""
  const splitting = Object.hasOwn(classes, name) ? classes[name] : undefined
  if (splitting === undefined) return undefined
  const specials = [config.bos_token, config.eos_token, config.unk_token, config.pad_token].flatMap((token) =>
    token === null || token === undefined ? [] : [typeof token === "string" ? token : token.content],
  )
  const plain = { lstrip: false, rstrip: false, normalized: false, single_word: false }
  const tokens = new Map<string, object>()
  for (const [id, token] of Object.entries(config.added_tokens_decoder ?? {})) {
    tokens.set(token.content, { ...plain, special: false, ...token, id: Number(id) })
  }
  for (const content of [...Object.keys(added), ...specials]) {
    const id = added[content] ?? vocabulary[content]
    if (id === undefined || tokens.has(content)) continue
    tokens.set(content, { ...plain, special: true, content, id })
  }
  const bos = typeof config.bos_token === "string" ? config.bos_token : config.bos_token?.content
  return {
    added_tokens: [...tokens.values()],
    ...splitting(config.add_prefix_space ?? false),
    post_processor:
      config.add_bos_token === true && bos !== undefined
        ? { type: "TemplateProcessing", ...beginning(bos, added[bos] ?? vocabulary[bos] ?? 0) }
        : null,
    decoder: bytes,
    model: {
      type: "BPE",
      unk_token: null,
      ignore_merges: false,
      vocab: vocabulary,
      merges: merges
        .split("\n")
        .filter((line, i) => line.trim() !== "" && !(i === 0 && line.startsWith("#version")))
        .map((line) => line.trim().split(" ")),
    },
  }
}

/** A beginning-of-sequence token in front of every text. */
const beginning = (token: string, id: number) => {
  const bos = { SpecialToken: { id: token, type_id: 0 } }
  const text = (of: "A" | "B") => ({ Sequence: { id: of, type_id: of === "A" ? 0 : 1 } })
  return {
    single: [bos, text("A")],
    pair: [bos, text("A"), bos, text("B")],
    special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
  }
}
