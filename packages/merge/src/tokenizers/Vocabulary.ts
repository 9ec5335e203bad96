/**
 * Which tensors of a model have a row per token: embeddings, output heads, and the heads' biases.
 *
 * By name and size: a name alone is no proof (a codec's embedding has its own vocabulary), nor is a size. What is like
 * one of them by one of the two and not by the other is not guessed: `doubtful` says why its rows cannot be moved.
 */
import type { Checkpoint, Safetensors } from "@hila/model"
import * as Config from "../stacks/Config.ts"
import * as TensorName from "../names/TensorName.ts"

/** A tensor of one row per token; the rows of a bias are single numbers. */
export interface Rows {
  readonly info: Safetensors.TensorInfo
  readonly rows: number
  /** Elements of a row. */
  readonly width: number
}

/** The tensors of a model's vocabulary. */
export interface Vocabulary {
  /** Rows of its embedding, or undefined where it has none by name. */
  readonly rows: number | undefined
  readonly tensors: ReadonlyMap<string, Rows>
  readonly doubtful: ReadonlyArray<Doubt>
}

/** A tensor that may have a row per token, and why that is not sure. */
export interface Doubt {
  readonly name: string
  readonly problem: string
  /** By its size alone: another number of rows is enough to make it wrong; else only rows that move. */
  readonly bySize: boolean
}

const embedding =
  /(?:^|\.)(?:embed_tokens(?:_per_layer)?|wte|word_embeddings?|embed_in|tok_embeddings|token_embedding|shared|backbone\.embeddings)\.weight$|^embeddings\.weight$/

const head =
  /(?:^|\.)(?:(?:generator_)?lm_head(?:\.decoder|\.linear)?|embed_out|output_layer|vocab_projector|predictions(?:\.decoder)?|shared_head\.head)\.(?:weight|bias)$|^(?:(?:model|language_model)\.)?(?:output|decoder|proj_out|head)\.(?:weight|bias)$|(?:^|\.)final_logits_bias$/

/** Tables by place, kind or norm, whose first extent may equal the vocabulary's by chance. */
const otherTable = /pos|wpe|type|norm|(?:^|\.)ln_/

const rowsOf = (info: Safetensors.TensorInfo): Rows | undefined => {
  const [first, second, ...more] = info.shape
  if (first === undefined || more.length > 0) return undefined
  if (second === undefined) return { info, rows: first, width: 1 }
  return info.name.endsWith("final_logits_bias")
    ? first === 1
      ? { info, rows: second, width: 1 }
      : undefined
    : { info, rows: first, width: second }
}

/** Whether a tensor's name is that of a token embedding. */
const isEmbedding = ({ name, shape }: Safetensors.TensorInfo): boolean =>
  shape.length === 2 && embedding.test(name) && !otherTable.test(name)

type Headers = Pick<Checkpoint.Checkpoint, "config" | "tensors">

/** The token embedding of a checkpoint: the one of the size that its config says, else the first. */
export const mainOf = ({ config, tensors }: Headers): Safetensors.TensorInfo | undefined => {
  const said = Config.vocabulary(config)
  const tables = [...tensors.values()].filter(isEmbedding)
  return tables.find(({ shape }) => shape[0] === said) ?? tables[0]
}

/** The vocabulary of a checkpoint, from its headers and config. */
export const of = (headers: Headers): Vocabulary => {
  const infos = [...headers.tensors.values()]
  const main = mainOf(headers)
  const size = main?.shape[0]
  const found = new Map<string, Rows>()
  const doubtful: Array<Doubt> = []
  if (main === undefined || size === undefined) return { rows: undefined, tensors: found, doubtful }
  for (const info of infos) {
    const { name, shape } = info
    const rows = rowsOf(info)
    if (isEmbedding(info) || head.test(name)) {
      if (rows?.rows === size) found.set(name, rows)
      else if (rows !== undefined) {
        const problem = `has ${rows.rows} rows, the embedding ${main.name} has ${size}`
        doubtful.push({ name, problem, bySize: false })
      }
    } else if (shape.includes(size) && TensorName.layerOf(name) === undefined && !otherTable.test(name)) {
      const problem = `has ${size} in its shape [${shape.join(", ")}], as many as there are rows of tokens`
      doubtful.push({ name, problem, bySize: true })
    }
  }
  return { rows: size, tensors: found, doubtful }
}

/** The shape of a tensor with another number of rows. */
export const shapeWith = ({ info, width }: Rows, rows: number): ReadonlyArray<number> =>
  info.shape.length === 1 ? [rows] : width === 1 && info.shape[0] === 1 ? [1, rows] : [rows, width]
