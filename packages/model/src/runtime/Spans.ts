/**
 * Into which spans of layers a model is cut whose units are measured from kept residual streams.
 *
 * A session per layer computes least: every pass starts right before the layer of its unit. But a session takes time to
 * open, for each layer in it as much as many multiplications, which on a small model or a few examples is more than the
 * passes themselves; a session that serves several layers starts before the first of them. The rule counts
 * multiplications of both and takes the cheapest width. It looks at shapes and lengths alone, so that the same work is
 * always cut alike, on any machine.
 */
import type { Span } from "../graphs/SuffixGraph.ts"
import type { ModelShape } from "../architectures/ModelShape.ts"

/** Multiplications in the time that opening a layer takes whatever its size, in a session for each of two workers. */
const openingWork = 6e8
/** Tokens that go through a layer in the time that opening it takes for each of its weights. */
const openingTokens = 600

/** Spans of equal width, first to last, of all layers; `tokens` is how many a pass over all examples reads. */
export const plan = (shape: ModelShape, tokens: number): ReadonlyArray<Span> => {
  const { headDim, heads, hiddenSize, intermediateSize, kvHeads } = shape
  const layers = shape.layers.length
  const weights = hiddenSize * (2 * headDim * (heads + kvHeads) + 3 * intermediateSize)
  const opening = openingWork + openingTokens * weights
  // At least as many units as are mostly measured: the key-value groups and the MLP of every layer.
  const passes = (kvHeads + 1) * tokens * weights
  const spansOf = (width: number) =>
    Array.from({ length: Math.ceil(layers / width) }, (_, i): Span => ({
      start: i * width,
      end: Math.min(layers, (i + 1) * width),
    }))
  const cost = (spans: ReadonlyArray<Span>) =>
    spans.reduce((sum, { end, start }) => sum + (layers - start) * (opening + (end - start) * passes), 0)
  return Array.from({ length: layers }, (_, i) => spansOf(i + 1)).reduce((best, spans) =>
    cost(spans) < cost(best) ? spans : best,
  )
}
