/**
 * The kinds of weight statistics: what is measured, and under which names a file has it. Collecting and reading them is
 * the matter of `StatisticsModel` and `WeightStatistics`.
 */

/**
 * The kinds, and their tensors for a weight W. Tokens are all that are read: prompt and response but for the last, which
 * nothing is predicted from. Behind the last layer only predicted tokens are read: means over predictions there.
 *
 * - `fisher`: `W`, in its shape: mean over examples of (∂loss/∂W)², loss an example's mean over its response, in nats
 *   (the diagonal of the empirical Fisher matrix; Matena & Raffel, 2022).
 * - `saliency`: `W`, in its shape: mean over examples of |W · ∂loss/∂W| (Lee et al., 2019; Ma et al., 2025).
 * - `gram`: `W.input`: mean over tokens of x·xᵀ, x the input of the linear layer (Jin et al., 2023, who sum).
 * - `kronecker`: `W.input`, and `W.outputGradient`: mean over tokens of g·gᵀ, g the derivative by the layer's output of
 *   the example's response loss, summed over its tokens: so ½ tr(S·ΔW·A·ΔWᵀ) is, up to tokens per prediction, the nats
 *   that a token's loss grows by (Martens & Grosse, 2015). Linear layers of the layers only. Of the vocabulary:
 *   `E.frequency` [vocabulary], how often an entry is among the tokens, `E.outputGradient` of the embedding E, and of
 *   the head H, which is E where they are tied, `H.headInput`, as `.input`, and `H.headResidual` [vocabulary], mean over
 *   predictions of (p − 1)², p the probability of an entry and 1 where it is the target.
 * - `activation`: `W.magnitude`: mean over tokens of |x| per input channel, of linear layers and norms
 *   (Nobari et al., 2025), not divided by its maximum.
 *
 * The rank of `.input` and `.outputGradient` says their form: [n] a diagonal, [n, n] in full, [blocks, b, b] the
 * diagonal blocks in order. Inputs and outputs are those of the layer, however its weight is stored (`transposed`).
 */
export const kinds = ["fisher", "saliency", "gram", "kronecker", "activation"] as const

export type Kind = (typeof kinds)[number]
