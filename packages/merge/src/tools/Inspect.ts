/**
 * What a checkpoint is: its tensors, dtypes, parameters by part, heads, vocabulary, and what is odd about it.
 *
 * Headers and configs are read always; values only where they are asked for, since that reads the whole model.
 */
import { at, entryOr } from "@hila/core/Lookup"
import { Architecture, Checkpoint, Quantisation, type Safetensors } from "@hila/model"
import * as Effect from "effect/Effect"
import { elementsOf } from "../methods/Definition.ts"
import * as Config from "../stacks/Config.ts"
import * as Report from "../plan/Report.ts"
import * as TensorName from "../names/TensorName.ts"
import * as StrayIds from "../tokenizers/StrayIds.ts"
import * as Sections from "../stacks/Sections.ts"
import * as Stacks from "../stacks/Stacks.ts"
import * as TokenizerFile from "../tokenizers/TokenizerFile.ts"
import * as Vocabulary from "../tokenizers/Vocabulary.ts"
import * as Structure from "./Structure.ts"
import * as Values from "../engine/Values.ts"

/** A checkpoint in numbers. */
export interface Inspection {
  readonly modelType: string
  /** Whether the model's type has a record. */
  readonly architecture: boolean
  /** Why it cannot be run here, though it can be merged; undefined where it can. */
  readonly runs: string | undefined
  readonly tensors: number
  readonly parameters: number
  readonly bytes: number
  /** Tensors by dtype. */
  readonly dtypes: Readonly<Record<string, number>>
  /** Parameters by part: embedding, attention, MLP, norms, head, other. */
  readonly parts: Readonly<Record<string, number>>
  readonly layers: number
  readonly heads: number | undefined
  readonly kvHeads: number | undefined
  /** Rows of the embedding. */
  readonly vocabulary: number | undefined
  /** Files of weights. */
  readonly shards: number
  readonly tied: boolean
  /** Whether every value was looked at. */
  readonly values: boolean
  /** How its weights are quantised, in words; undefined where they are numbers. */
  readonly quantisation: string | undefined
  readonly oddities: ReadonlyArray<string>
}

const partOf = (name: string): string => {
  if (TensorName.isHead(name)) return "head"
  if (TensorName.isEmbedding(name)) return "embedding"
  if (/norm|ln_/.test(name)) return "norms"
  if (/attn|attention/.test(name)) return "attention"
  if (/mlp|ffn|feed_forward|experts/.test(name)) return "mlp"
  return "other"
}

/** Inspects a checkpoint; with `values` it looks at every weight. */
export const inspect = Effect.fn("inspect")(function* (
  checkpoint: Checkpoint.Checkpoint,
  { values = false }: { readonly values?: boolean } = {},
) {
  const { config } = checkpoint
  const infos = [...checkpoint.tensors.values()]
  const parts: Record<string, number> = {}
  const dtypes: Record<string, number> = {}
  for (const { dtype, name, shape } of infos) {
    parts[partOf(name)] = entryOr(parts, partOf(name), 0) + elementsOf(shape)
    dtypes[dtype] = entryOr(dtypes, dtype, 0) + 1
  }
  const quantised = Quantisation.of(checkpoint)
  const { oddities: structure, runs, shape, tied } = yield* Structure.of(checkpoint, { values })
  const vocabulary = Vocabulary.of(checkpoint).rows
  const text = (key: string) => (typeof config[key] === "number" ? config[key] : undefined)
  return {
    modelType: config.model_type,
    architecture: Architecture.kindOf(config.model_type) !== undefined,
    runs,
    tensors: infos.length,
    parameters: Checkpoint.parameterCount(checkpoint),
    bytes: infos.reduce((sum, { byteLength }) => sum + byteLength, 0),
    dtypes,
    parts,
    layers: depthOf(checkpoint),
    heads: shape?.heads ?? text("num_attention_heads") ?? text("n_head"),
    kvHeads: text("num_key_value_heads"),
    vocabulary,
    shards: new Set(infos.map(({ file }) => file)).size,
    tied,
    values,
    quantisation: quantised === undefined ? undefined : Quantisation.describe(quantised),
    oddities: [
      ...(quantised === undefined ? leftBehind(checkpoint) : [`is ${Quantisation.describe(quantised)}`]),
      ...structure,
      ...(checkpoint.remarks ?? []),
      ...declared(checkpoint, dtypes),
      ...(yield* vocabularyOddities(checkpoint, vocabulary)),
      ...(values ? yield* valueOddities(checkpoint, shape) : []),
    ],
  } satisfies Inspection
})

/** A quantisation that config.json speaks of, and no tensor has. */
const leftBehind = ({ config }: Checkpoint.Checkpoint) =>
  Quantisation.declared(config).map(
    ({ path }) => `config.json has ${path.join(".")}, and the weights are plain numbers`,
  )

const names: Readonly<Record<string, string>> = {
  float64: "F64",
  float32: "F32",
  float16: "F16",
  bfloat16: "BF16",
}

/** Layers of the text, or of all stacks where none is the text's alone. */
const depthOf = ({ config, tensors }: Checkpoint.Checkpoint): number => {
  const { modules } = Stacks.of(tensors.keys())
  const main = Stacks.main(modules)
  return (main === undefined ? modules : [main]).reduce(
    (sum, module) => sum + Sections.depthOf(config, module),
    0,
  )
}

/** What config.json says and the tensors do not hold to. */
const declared = ({ config, tensors }: Checkpoint.Checkpoint, dtypes: Readonly<Record<string, number>>) => {
  const oddities: Array<string> = []
  const said = config.dtype ?? config.torch_dtype ?? undefined
  const wanted = said === undefined ? undefined : names[said]
  const floats = Object.keys(dtypes).filter((dtype) => Object.values(names).includes(dtype))
  if (wanted !== undefined && floats.some((dtype) => dtype !== wanted)) {
    oddities.push(`config.json says ${said}, the weights are ${floats.join(", ")}`)
  }
  const other = Object.keys(dtypes).find(
    (dtype) => !Object.values(names).includes(dtype) && !/^(?:BOOL|[IU]\d+)$/.test(dtype),
  )
  if (other !== undefined) {
    oddities.push(`${dtypes[other]} tensors are ${other}, which can neither be merged nor looked at here`)
  }
  oddities.push(...Sections.problemsOf(config, Stacks.of(tensors.keys()).modules))
  return oddities
}

const vocabularyOddities = Effect.fnUntraced(function* (
  checkpoint: Checkpoint.Checkpoint,
  rows: number | undefined,
) {
  const { config, files } = checkpoint
  const oddities: Array<string> = []
  const said = Config.vocabulary(config)
  if (said !== undefined && rows !== undefined && said !== rows) {
    oddities.push(`config.json says a vocabulary of ${said}, the embedding has ${rows} rows`)
  }
  if (files["tokenizer.json"] === undefined || rows === undefined) return oddities
  const tokenizer = yield* Effect.result(TokenizerFile.read(checkpoint, "tokenizer.json"))
  if (tokenizer._tag === "Failure") return [...oddities, tokenizer.failure.message]
  let highest = -1
  for (const id of tokenizer.success.ids.values()) highest = Math.max(highest, id)
  if (highest >= rows)
    oddities.push(`the tokenizer has the token ${highest}, the embedding only ${rows} rows`)
  return [...oddities, ...(yield* StrayIds.of(checkpoint, tokenizer.success))]
})

/** Whether nothing but zeros is odd in a tensor: biases start so, and norms that add 1 to their weights. */
const isOddAsZeros = ({ name, shape }: Safetensors.TensorInfo, known: Structure.Structure["shape"]) =>
  shape.length > 1 || (known !== undefined && known.norm !== "rmsPlusOne" && !name.endsWith("bias"))

/** NaN and infinite values, and tensors of zeros alone. */
const valueOddities = Effect.fnUntraced(function* (
  { tensors }: Checkpoint.Checkpoint,
  known: Structure.Structure["shape"],
) {
  const oddities: Array<string> = []
  for (const info of tensors.values()) {
    if (!Values.isFloatTensor(info)) continue
    let [bad, zero] = [0, 0]
    yield* Values.forEachPiece([info], (pieces) => {
      for (const value of at(pieces, 0)) {
        if (!Number.isFinite(value)) bad += 1
        if (value === 0) zero += 1
      }
    })
    const all = elementsOf(info.shape)
    if (bad > 0) oddities.push(`${info.name} has ${bad} of ${all} values that are NaN or infinite`)
    if (zero === all && all > 1 && isOddAsZeros(info, known)) oddities.push(`${info.name} is all zeros`)
  }
  return oddities
})

/** An inspection for people. */
export const render = (found: Inspection): string => {
  const share = (count: number) =>
    `${Report.countText(count)} (${((100 * count) / found.parameters).toFixed(1)} %)`
  const heads =
    found.heads === undefined
      ? ""
      : `, ${found.heads} heads${found.kvHeads === undefined ? "" : `, ${found.kvHeads} key-value heads`}`
  return [
    Report.table([
      ["model", found.modelType],
      [
        "tensors",
        `${found.tensors} in ${found.shards} file${found.shards === 1 ? "" : "s"}, ${Report.bytesText(found.bytes)}`,
      ],
      [
        "dtypes",
        Object.entries(found.dtypes)
          .map(([dtype, count]) => `${dtype} ×${count}`)
          .join(", "),
      ],
      ...(found.quantisation === undefined ? [] : [["weights", found.quantisation]]),
      ...(found.runs === undefined ? [] : [["runs", `no: ${found.runs}`]]),
      ["parameters", Report.countText(found.parameters)],
      ...Object.entries(found.parts).map(([part, count]) => [`  ${part}`, share(count)]),
      ["layers", `${found.layers}${heads}`],
      ["vocabulary", `${found.vocabulary ?? "unknown"}${found.tied ? ", head tied" : ""}`],
    ]),
    ...found.oddities.map((oddity) => `odd: ${oddity}`),
    found.oddities.length === 0
      ? `nothing odd${found.values ? ", every value is finite" : " in headers and config"}`
      : "",
  ]
    .filter((line) => line !== "")
    .join("\n")
}
