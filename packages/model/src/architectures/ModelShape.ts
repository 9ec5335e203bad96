/**
 * The shape of a model: its sizes, how its layers compute, and the names of its tensors by role.
 *
 * Plain data. Architecture records produce it from a config.json; units, graphs and checks read it. The head layout
 * of a projection is the only place that says where heads lie: units, masks and graphs all follow it.
 */

/**
 * Where the outputs of one projection lie in a tensor that several share: head i has the outputs
 * [offset + i · stride, offset + i · stride + headDim) of `total`. A projection without heads is one such block.
 */
export interface Layout {
  readonly total: number
  readonly offset: number
  readonly stride: number
}

/** A linear layer: `weight` is `[out, in]`, or `[in, out]` where `transposed`; `bias` is `[out]`. */
export interface Projection {
  readonly weight: string
  readonly bias?: string
  readonly transposed?: true
  /** Absent where the projection has its tensors to itself. */
  readonly layout?: Layout
}

/** The linear layers of a layer; without a gate, the MLP is down(activation(up(x))). */
export type ProjectionRole = "query" | "key" | "value" | "output" | "gate" | "up" | "down"

/** The tensors of a norm. */
export interface Norm {
  readonly weight: string
  readonly bias?: string
}

/**
 * Where a layer may have norms: on what goes into attention and MLP, on what comes out of them before it is added to
 * the residual stream, on the stream after the addition, and on queries and keys.
 */
export type NormPlace =
  | "attentionInput"
  | "attentionOutput"
  | "attentionSum"
  | "mlpInput"
  | "mlpOutput"
  | "mlpSum"
  | "query"
  | "key"

/** The tensors of one layer. */
export interface LayerTensors extends Readonly<Record<Exclude<ProjectionRole, "gate">, Projection>> {
  readonly gate?: Projection
  readonly norms: Readonly<Partial<Record<NormPlace, Norm>>>
}

/** How rotary frequencies are stretched to contexts longer than those a model was first trained on. */
export type RopeScaling =
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3"
      readonly factor: number
      readonly lowFactor: number
      readonly highFactor: number
      readonly originalPositions: number
    }
  | {
      readonly type: "yarn"
      readonly factor: number
      readonly betaFast: number
      readonly betaSlow: number
      readonly originalPositions: number
      /** Whether the bounds of the ramp between the two kinds of frequencies are whole numbers. */
      readonly truncate: boolean
      /** Multiplies cos and sin. */
      readonly attentionFactor: number
    }

/** Rotary positions (Su et al., 2021). */
export interface Rope {
  /** Base of the frequencies θ^(−2i/dims). */
  readonly theta: number
  /** How many leading entries of a head are rotated; even. */
  readonly dims: number
  /** Which entries form a pair: i and i + dims/2, or 2i and 2i + 1. */
  readonly pairs: "halves" | "neighbours"
  readonly scaling?: RopeScaling
}

/** How one layer attends. */
export interface LayerAttention {
  /** Multiplies query · key. */
  readonly scale: number
  /** Absent: the layer does not rotate. */
  readonly rope?: Rope
  /** How far from a query its keys may lie (in a decoder backwards, in an encoder both ways); absent: any distance. */
  readonly reach?: number
}

/** `rms`: x / √(mean(x²) + ε) · w; `rmsPlusOne`: the same with 1 + w; `layer`: (x − mean) / √(variance + ε) · w + b. */
export type NormKind = "rms" | "rmsPlusOne" | "layer"

/** `gelu` is x · Φ(x); `geluTanh` its approximation by tanh. */
export type Activation = "silu" | "gelu" | "geluTanh" | "relu" | "tanh"

/** What the layers of decoders and encoders have in common. */
export interface Stack {
  readonly modelType: string
  readonly vocabSize: number
  readonly hiddenSize: number
  /** The tensors of each layer. */
  readonly layers: ReadonlyArray<LayerTensors>
  /** Query heads per layer; a multiple of `kvHeads`. */
  readonly heads: number
  /** Key-value heads per layer: the number of key-value groups. */
  readonly kvHeads: number
  readonly headDim: number
  readonly intermediateSize: number
  readonly maxPositions: number
  readonly norm: NormKind
  /** ε of every norm. */
  readonly normEps: number
  /** Whether norms of queries and keys are of each head alone or of all heads together; absent: there are none. */
  readonly queryKeyNorm?: "head" | "whole"
  readonly activation: Activation
  /** Whether a query sees only keys at or before its own position. */
  readonly causal: boolean
  /** Whether attention and MLP both read the layer's input, so that the MLP does not see what attention adds. */
  readonly parallel: boolean
  /** One entry per layer. */
  readonly attention: ReadonlyArray<LayerAttention>
  /** Attention scores s become cap · tanh(s / cap). */
  readonly attentionSoftcap?: number
  /** Multiplies what attention and MLP add to the residual stream. */
  readonly residualScale: number
  /** Every tensor the model needs, with its shape. */
  readonly expected: ReadonlyMap<string, ReadonlyArray<number>>
}

/** A decoder with an output head. */
export interface ModelShape extends Stack {
  readonly tiedEmbeddings: boolean
  readonly bosTokenId?: number
  readonly eosTokenIds: ReadonlyArray<number>
  /** Multiplies the embedded tokens. */
  readonly embeddingScale: number
  /** Multiplies the logits. */
  readonly logitScale: number
  /** Logits z become cap · tanh(z / cap), after their scale. */
  readonly logitSoftcap?: number
  readonly tensors: {
    readonly embedding: string
    /** Absolute positions, [maxPositions, hiddenSize]. */
    readonly positions?: string
    readonly finalNorm: Norm
    /** The embedding itself when tied. */
    readonly head: string
  }
}

/** An encoder with a head that classifies whole sequences. */
export interface EncoderShape extends Stack {
  /** Position of a sequence's first token; where `paddingToken` is given, such tokens stand before it and do not count. */
  readonly firstPosition: number
  readonly paddingToken?: number
  readonly tensors: {
    readonly embedding: string
    readonly positions?: string
    /** [kinds, hiddenSize]; every token is of the first kind of segment. */
    readonly segments?: { readonly weight: string; readonly kinds: number }
    readonly embeddingNorm?: Norm
    readonly finalNorm?: Norm
  }
  /** logits = output(norm(activation(dense(pooled)))) */
  readonly classifier: {
    readonly pooling: "first" | "mean"
    readonly dense: Projection
    readonly activation: Activation
    readonly norm?: Norm
    readonly output: Projection
    /** Names of the classes, in the order of the logits. */
    readonly labels: ReadonlyArray<string>
  }
}

/** `[in, out]` of each projection. */
export const projectionSizes = (
  stack: Pick<Stack, "hiddenSize" | "heads" | "kvHeads" | "headDim" | "intermediateSize">,
): Readonly<Record<ProjectionRole, readonly [number, number]>> => {
  const { headDim, heads, hiddenSize, intermediateSize, kvHeads } = stack
  return {
    query: [hiddenSize, heads * headDim],
    key: [hiddenSize, kvHeads * headDim],
    value: [hiddenSize, kvHeads * headDim],
    output: [heads * headDim, hiddenSize],
    gate: [hiddenSize, intermediateSize],
    up: [hiddenSize, intermediateSize],
    down: [intermediateSize, hiddenSize],
  }
}

/** The stored shape of a projection's weight: fused tensors whole. */
export const weightShape = (
  { layout, transposed }: Projection,
  [from, to]: readonly [number, number],
): readonly [number, number] => {
  const out = layout?.total ?? to
  return transposed === true ? [from, out] : [out, from]
}

/** Keys in which fine-tunes of one model may differ: they change no tensor and no number the layers compute. */
const incidental = new Set(["modelType", "maxPositions", "bosTokenId", "eosTokenIds"])

/** One difference between two shapes: where it is, and what each of them has there. */
export interface Difference {
  /** `heads`, `attention.3.rope.theta`, `layers.0.query`, or the name of a tensor whose sizes differ. */
  readonly path: string
  readonly a: unknown
  readonly b: unknown
}

/** Every difference in what two shapes compute and in the tensors they compute it with. */
export const differences = (a: Stack, b: Stack): ReadonlyArray<Difference> => [...between(a, b, "")]

/** The first difference in what two shapes compute; undefined where there is none. */
export const difference = (a: Stack, b: Stack): Difference | undefined => differences(a, b)[0]

/** A difference for people: what was expected, that of the first shape, and what there is instead. */
export const show = ({ a, b, path }: Difference): string => `${path}: expected ${text(a)}, got ${text(b)}`

function* between(a: unknown, b: unknown, path: string): Generator<Difference> {
  if (a === b) return
  if (isSizes(a) && isSizes(b)) {
    if (a.join() !== b.join()) yield { path, a, b }
  } else if (Array.isArray(a) && Array.isArray(b) && a.length !== b.length) {
    yield { path, a: a.length, b: b.length }
  } else if (a instanceof Map && b instanceof Map) {
    for (const key of new Set<string>([...a.keys(), ...b.keys()])) yield* between(a.get(key), b.get(key), key)
  } else if (!isRecord(a) || !isRecord(b)) {
    yield { path, a, b }
  } else if (isLinear(a) && isLinear(b) && (a.bias === undefined) !== (b.bias === undefined)) {
    yield { path, a, b }
  } else {
    for (const key of new Set([...Object.keys(a), ...Object.keys(b)])) {
      if (path === "" && incidental.has(key)) continue
      yield* between(a[key], b[key], path === "" ? key : `${path}.${key}`)
    }
  }
}

const isSizes = (value: unknown): value is ReadonlyArray<number> =>
  Array.isArray(value) && value.every((size) => typeof size === "number")

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null

/** A linear layer or norm. */
const isLinear = (value: unknown): value is Norm => isRecord(value) && typeof value["weight"] === "string"

const text = (value: unknown): string => {
  if (value === undefined) return "none"
  if (typeof value === "string") return value
  if (!isLinear(value)) return JSON.stringify(value)
  return value.bias === undefined ? `${value.weight} without a bias` : `${value.weight} with ${value.bias}`
}
