/**
 * What a forward pass costs: parameters and operations.
 *
 * A transformer's pass over n tokens takes about 2 · N · n operations for its N weights outside embeddings and
 * 4 · L · n² · d for the attention of L layers of width d, a multiply-add being two (Kaplan et al., 2020).
 */
import { Checkpoint, type Stack } from "@hila/model"

const isEmbedding = (name: string): boolean => /embed|\bwte\b|\bwpe\b/i.test(name) && !/norm/i.test(name)

const scalars = (shape: ReadonlyArray<number>): number => shape.reduce((product, size) => product * size, 1)

/** Weights by where they are used; scales of quantised weights are no weights of the model. */
export const weights = ({ tensors }: Checkpoint.Checkpoint) => {
  let [all, embeddings, bytes] = [0, 0, 0]
  for (const [name, { byteLength, shape }] of tensors) {
    bytes += byteLength
    if (name.endsWith(".scale")) continue
    all += scalars(shape)
    if (isEmbedding(name)) embeddings += scalars(shape)
  }
  return { all, embeddings, bytes }
}

/** Operations of a pass over `tokens` tokens. */
export const flops = (
  checkpoint: Checkpoint.Checkpoint,
  { hiddenSize, layers }: Pick<Stack, "hiddenSize" | "layers">,
  tokens: number,
): number => {
  const { all, embeddings } = weights(checkpoint)
  return 2 * (all - embeddings) * tokens + 4 * layers.length * tokens ** 2 * hiddenSize
}
