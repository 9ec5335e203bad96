/**
 * Tensors that config.json determines: frequencies, causal masks, positions. Writers of some years store them, others do
 * not, and no reader needs them, so they are copied from the model that the result is like, or left out.
 */
import type { TensorInfo } from "./SafetensorsHeader.ts"

const derived =
  /(?:^|\.)(?:rotary(?:_pos)?_emb|rotary|rope)\.(?:original_)?(?:inv_freq|cos_cached|sin_cached)$/
const counted = /(?:^|\.)(?:position_ids|token_type_ids|num_batches_tracked|relative_position_index)$/
const mask = /(?:^|\.)(?:attn|attention|self_attn|self)\.(?:bias|causal_mask)$/
const masked = /(?:^|\.)(?:attn|attention|self_attn|self)\.masked_bias$/

/** Whether a tensor is one of them, by its name and, where a bias could be called so, by its shape. */
export const is = ({ dtype, name, shape }: TensorInfo): boolean => {
  if (derived.test(name)) return true
  if (counted.test(name)) return /^[IU]/.test(dtype)
  if (masked.test(name)) return shape.every((size) => size === 1)
  // A causal mask is [1, 1, positions, positions], a bias has one axis.
  const [one, two, rows, columns] = shape
  return mask.test(name) && shape.length === 4 && one === 1 && two === 1 && rows === columns
}

/** Whether a name alone says so. */
export const isNamed = (name: string): boolean =>
  derived.test(name) || counted.test(name) || masked.test(name)
