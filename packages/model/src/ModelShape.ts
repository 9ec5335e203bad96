/**
 * The shape of a decoder: its sizes, and the names of its tensors by role.
 *
 * Plain data. Architecture records produce it from a config.json; units, graphs and checks read it.
 */

/** A linear layer: `weight` is `[out, in]`, `bias` is `[out]`. */
export interface Projection {
  readonly weight: string
  readonly bias?: string
}

/** The linear layers of a decoder layer. */
export type ProjectionRole = "query" | "key" | "value" | "output" | "gate" | "up" | "down"

/** The tensors of one decoder layer. */
export interface LayerTensors extends Readonly<Record<ProjectionRole, Projection>> {
  readonly inputNorm: string
  readonly postAttentionNorm: string
}

/** What a config.json says about a decoder's sizes. */
export interface Hyperparameters {
  readonly vocabSize: number
  readonly hiddenSize: number
  readonly layers: number
  /** Query heads per layer; a multiple of `kvHeads`. */
  readonly heads: number
  /** Key-value heads per layer: the number of key-value groups. */
  readonly kvHeads: number
  readonly headDim: number
  readonly intermediateSize: number
  readonly maxPositions: number
  /** Added to the mean square in RMSNorm. */
  readonly normEps: number
  /** Base of the rotary frequencies θ^(−2i/headDim). */
  readonly ropeTheta: number
  readonly tiedEmbeddings: boolean
  readonly bosTokenId?: number
  readonly eosTokenIds: ReadonlyArray<number>
}

/** A decoder: sizes, and tensors by role. */
export interface ModelShape extends Hyperparameters {
  readonly modelType: string
  readonly tensors: {
    readonly embedding: string
    readonly finalNorm: string
    /** The embedding itself when tied. */
    readonly head: string
  }
  /** The tensors of layer `l`, 0 ≤ l < layers. */
  readonly layer: (l: number) => LayerTensors
  /** Every tensor the model needs, with its shape. */
  readonly expected: ReadonlyMap<string, ReadonlyArray<number>>
}
