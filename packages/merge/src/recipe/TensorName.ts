/** What a tensor's name says: its layer, and whether it comes before or after the layers. */

const pattern = /^((?:.*\.)?(?:layers|layer|blocks|block|h))\.(\d+)\.(.+)$/

/** A tensor of a layer: `before.layer.after`. */
export interface InLayer {
  readonly before: string
  readonly layer: number
  readonly after: string
}

/** The layer of a tensor by its name, if it has one. */
export const layerOf = (name: string): InLayer | undefined => {
  const [, before, layer, after] = pattern.exec(name) ?? []
  return before === undefined || layer === undefined || after === undefined
    ? undefined
    : { before, layer: Number(layer), after }
}

/** Whether a tensor outside of the layers is read before them. */
export const isEmbedding = (name: string): boolean =>
  /embed|wte|wpe|word_embeddings/.test(name) && !isHead(name)

/** Whether a tensor is the output head by its name. */
export const isHead = (name: string): boolean =>
  name === "lm_head.weight" || name === "embed_out.weight" || name === "lm_head.bias"

/** How many layers the tensors of a model have. */
export const layersOf = (names: Iterable<string>): number => {
  let layers = 0
  for (const name of names) layers = Math.max(layers, (layerOf(name)?.layer ?? -1) + 1)
  return layers
}
