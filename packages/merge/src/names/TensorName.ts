/** What a tensor's name says by itself: its layer, and whether it comes before or after the layers. */

// The outermost number counts layers: `encoder.block.3.layer.1` is the second sublayer of block 3.
const pattern = /^((?:.*?\.)?(?:layers|layer|blocks|block|h))\.(\d+)\.(.+)$/

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

/** Whether a tensor outside of the layers is read before them, norms and convolutions of pictures and sound included. */
export const isBefore = (name: string): boolean =>
  isEmbedding(name) ||
  (/(?:^|\.)(?:shared\.|patch_|ln_pre|pre_la?y?r?norm|conv\d|positional_|(?:global_)?relative_attention_bias|pre_ln|ln0)/.test(
    name,
  ) &&
    !isHead(name))

/** Whether a tensor is an output head by its name, whatever it lies in. */
export const isHead = (name: string): boolean =>
  /(?:^|\.)(?:lm_head|embed_out)\.(?:weight|bias)$|^proj_out\.(?:weight|bias)$|(?:^|\.)final_logits_bias$/.test(
    name,
  )
