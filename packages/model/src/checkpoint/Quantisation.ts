/**
 * Whether a checkpoint's weights are codes of a quantised format instead of numbers, which format, and which tensors.
 *
 * Codes cannot be added, compared or run here: what they stand for lies in scales, zero points or tables beside them, and
 * each format has its own. The tensors decide. A `quantization_config` that was left behind beside plain weights makes no
 * model quantised, and codes are codes where config.json says nothing of them.
 */
import * as Predicate from "effect/Predicate"
import { basename } from "node:path"
import type { Checkpoint } from "./Checkpoint.ts"
import * as Dtype from "./Dtype.ts"
import type { ModelConfig } from "./ModelConfig.ts"
import type { TensorInfo } from "./SafetensorsHeader.ts"

/** How a checkpoint is quantised. */
export interface Quantisation {
  /** By the name that config.json or the tensors give it: `gptq`, `bitsandbytes nf4`, `FP8 with scales`. */
  readonly format: string
  /** The key of config.json that names the format, where one does. */
  readonly key: string | undefined
  /** Codes, and what belongs to them: every tensor of a module that is not numbers by itself, in the file's order. */
  readonly tensors: ReadonlySet<string>
  /** The first of them. */
  readonly example: TensorInfo
}

type Tensors = Pick<Checkpoint, "tensors">["tensors"]

/** Keys under which configs describe a quantisation. */
const configKeys = ["quantization_config", "compression_config"]

/** A description of a quantisation in a config.json. */
export interface Declaration {
  /** Its place: `["text_config", "quantization_config"]`. */
  readonly path: ReadonlyArray<string>
  /** What it calls its method. */
  readonly method: string | undefined
}

/** Every description of a quantisation in a config.json, in the config itself and in its sections. */
export const declared = (config: ModelConfig): ReadonlyArray<Declaration> => declaredIn(config, [])

const declaredIn = (
  config: { readonly [key: string]: unknown },
  path: ReadonlyArray<string>,
): ReadonlyArray<Declaration> =>
  Object.entries(config).flatMap(([key, value]) => {
    if (!Predicate.isObject(value) || Array.isArray(value)) return []
    const section = { ...value }
    return configKeys.includes(key)
      ? [{ path: [...path, key], method: methodOf(section) }]
      : /_config$|^thinker|^talker/.test(key)
        ? declaredIn(section, [...path, key])
        : []
  })

const methodOf = (section: { readonly [key: string]: unknown }): string | undefined => {
  const method = section["quant_method"] ?? section["quant_algo"]
  const loaded = section["load_in_4bit"] === true ? 4 : section["load_in_8bit"] === true ? 8 : undefined
  const bits = loaded ?? section["bits"]
  // Older files of bitsandbytes do not name it.
  const name = typeof method === "string" ? method : loaded === undefined ? undefined : "bitsandbytes"
  return name === undefined || typeof bits !== "number" ? name : `${name}, ${bits} bits`
}

/** A name that only a quantised format gives to a tensor; its first group is the module, or the parameter itself. */
interface Sign {
  readonly format: string
  readonly name: RegExp
  /** Where the name alone proves nothing: what the tensor and its neighbours must be like. */
  readonly also?: (info: TensorInfo, stem: string, tensors: Tensors) => boolean
}

const coded = (info: TensorInfo | undefined): boolean => info !== undefined && !Dtype.isFloat(info.dtype)

/** The parameter that a scale belongs to holds no floats. */
const ofCodes = (_: TensorInfo, stem: string, tensors: Tensors): boolean => coded(tensors.get(stem))

const signs: ReadonlyArray<Sign> = [
  { format: "bitsandbytes int8", name: /^(.+)\.SCB$/ },
  { format: "bitsandbytes nf4", name: /^(.+)\.weight\.quant_state\.bitsandbytes__nf4$/ },
  { format: "bitsandbytes fp4", name: /^(.+)\.weight\.quant_state\.bitsandbytes__fp4$/ },
  { format: "bitsandbytes 4 bits", name: /^(.+)\.weight\.(?:nested_)?absmax$/ },
  { format: "GPTQ", name: /^(.+)\.g_idx$/, also: coded },
  {
    format: "AWQ or GPTQ",
    name: /^(.+)\.qweight$/,
    also: (info, stem, tensors) => coded(info) || tensors.has(`${stem}.scales`),
  },
  { format: "compressed-tensors", name: /^(.+)\.weight_packed$/ },
  { format: "compressed-tensors", name: /^(.+)\.bitmask$/, also: coded },
  { format: "FP8 with scales", name: /^(.+)_scale_inv$/, also: ofCodes },
  { format: "weights with scales", name: /^(.+)_scales?(?:_2)?$/, also: ofCodes },
  {
    format: "MXFP4",
    name: /^(.+)_blocks$/,
    also: (info, stem, tensors) => coded(info) && tensors.has(`${stem}_scales`),
  },
  {
    format: "MXFP4",
    name: /^(.+)_scales$/,
    also: (info, stem, tensors) => coded(info) && tensors.has(`${stem}_blocks`),
  },
  { format: "HQQ", name: /^(.+)\.W_q$/ },
  {
    format: "quanto",
    name: /^(.+)\.weight\._data$/,
    also: (_, stem, tensors) => tensors.has(`${stem}.weight._scale`),
  },
  { format: "torchao", name: /^(.+)\._weight_qdata$/ },
  { format: "AQLM", name: /^(.+)\.codebooks$/, also: (_, stem, tensors) => tensors.has(`${stem}.codes`) },
  {
    format: "VPTQ",
    name: /^(.+)\.centroids(?:\.weight)?$/,
    also: (_, stem, tensors) => tensors.has(`${stem}.indices`),
  },
  { format: "QuIP#", name: /^(.+)\.Qidxs$/ },
]

/** Integers that sound models hold besides their weights, and that no quantisation explains. */
const counts =
  /(?:^|\.)(?:position_ids|token_type_ids|num_batches_tracked|relative_position_index|\w*mask\w*|bias)$/

/** A float narrower than 16 bits: what it stands for is only known with a scale, even where none is stored. */
const isNarrow = ({ dtype }: TensorInfo): boolean => /^F[468]/.test(dtype)

/** The quantisation of a checkpoint, or undefined where its weights are numbers. Headers and config alone are read. */
export const of = ({ config, tensors }: Pick<Checkpoint, "config" | "tensors">): Quantisation | undefined => {
  const infos = [...tensors.values()]
  const [declaration] = declared(config)
  let format: string | undefined
  const modules = new Set<string>()
  const codes = new Set<string>()
  for (const info of infos) {
    for (const { also, format: own, name } of signs) {
      const stem = name.exec(info.name)?.[1]
      if (stem === undefined || also?.(info, stem, tensors) === false) continue
      format ??= own
      modules.add(tensors.has(stem) ? moduleOf(stem) : stem)
      codes.add(info.name).add(stem)
    }
    const unexplained = declaration !== undefined && coded(info) && !counts.test(info.name)
    if (isNarrow(info) || unexplained) {
      codes.add(info.name)
      modules.add(moduleOf(info.name))
    }
  }
  const belongs = (name: string) =>
    codes.has(name) || (!name.endsWith("bias") && [...prefixes(name)].some((prefix) => modules.has(prefix)))
  const found = infos.filter(({ name }) => belongs(name))
  // Codes of a matrix say more than what goes with them.
  const example =
    found.find((info) => codes.has(info.name) && coded(info) && info.shape.length > 1) ?? found[0]
  if (example === undefined) return undefined
  const narrow = isNarrow(example) ? example.dtype : undefined
  return {
    format: declaration?.method ?? format ?? narrow ?? "an unknown format",
    key: declaration?.path.join("."),
    tensors: new Set(found.map(({ name }) => name)),
    example,
  }
}

const moduleOf = (name: string): string => name.slice(0, Math.max(0, name.lastIndexOf(".")))

/** `a.b.c` → `a.b.c`, `a.b`, `a`. */
function* prefixes(name: string): Iterable<string> {
  for (let end = name.length; end > 0; end = name.lastIndexOf(".", end - 1)) yield name.slice(0, end)
}

/** What a checkpoint is, in words: `quantised as gptq, 4 bits (quantization_config of config.json; …)`. */
export const describe = ({ example, format, key, tensors }: Quantisation): string => {
  const { dtype, file, name, shape } = example
  const said = key === undefined ? "" : `${key} of config.json; `
  const others = tensors.size === 1 ? "" : `, and ${tensors.size - 1} more tensors are like it or go with it`
  return `quantised as ${format} (${said}${name} of ${basename(file)} is ${dtype} [${shape.join(", ")}]${others})`
}

/** Why a quantised checkpoint is refused, and what to do. */
export const refusal = (quantisation: Quantisation): string =>
  `is ${describe(quantisation)}: codes cannot be computed with; use the full-precision model, or dequantise it first`
