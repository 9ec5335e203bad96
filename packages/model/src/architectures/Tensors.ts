/**
 * Tensor names that several families share.
 */
import type { LayerTensors, Norm, NormPlace, Projection } from "./ModelShape.ts"

/** The tensors of a linear layer called `name`. */
export const linear = (name: string, biased = false): Projection =>
  biased ? { weight: `${name}.weight`, bias: `${name}.bias` } : { weight: `${name}.weight` }

/** The tensors of a norm called `name`. */
export const norm = (name: string, biased = false): Norm => linear(name, biased)

/** Names outside the layers of Llama and its descendants. */
export const llamaTensors = (tied: boolean, biasedNorm = false) => ({
  embedding: "model.embed_tokens.weight",
  finalNorm: norm("model.norm", biasedNorm),
  head: tied ? "model.embed_tokens.weight" : "lm_head.weight",
})

/** Which linear layers of a Llama-like layer have a bias; none unless said. */
export interface Biases {
  /** Query, key and value. */
  readonly attention?: boolean
  readonly output?: boolean
  readonly mlp?: boolean
}

/** The linear layers of Llama and its descendants. */
export const llamaProjections = (l: number, { attention, mlp, output }: Biases = {}) => {
  const at = `model.layers.${l}`
  return {
    query: linear(`${at}.self_attn.q_proj`, attention),
    key: linear(`${at}.self_attn.k_proj`, attention),
    value: linear(`${at}.self_attn.v_proj`, attention),
    output: linear(`${at}.self_attn.o_proj`, output),
    gate: linear(`${at}.mlp.gate_proj`, mlp),
    up: linear(`${at}.mlp.up_proj`, mlp),
    down: linear(`${at}.mlp.down_proj`, mlp),
  } satisfies Omit<LayerTensors, "norms">
}

/** Where Llama and most of its descendants have norms. */
export const preNorms: Partial<Record<NormPlace, string>> = {
  attentionInput: "input_layernorm",
  mlpInput: "post_attention_layernorm",
}

/** Norms that normalise each head's queries and keys. */
export const headNorms: Partial<Record<NormPlace, string>> = {
  query: "self_attn.q_norm",
  key: "self_attn.k_norm",
}

/** The norms of layer `l` from their names inside the layer. */
export const llamaNorms = (
  l: number,
  names: Partial<Record<NormPlace, string>>,
  biased = false,
): LayerTensors["norms"] =>
  Object.fromEntries(
    Object.entries(names).map(([place, name]) => [place, norm(`model.layers.${l}.${name}`, biased)]),
  )

/** All tensors of a Llama: linear layers with these biases, and a norm in front of attention and MLP. */
export const llamaLayout = (tied: boolean, biases?: Biases) => ({
  tensors: llamaTensors(tied),
  layer: (l: number): LayerTensors => ({ ...llamaProjections(l, biases), norms: llamaNorms(l, preNorms) }),
})
