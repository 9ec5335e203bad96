/**
 * The experts and heads that `pipelines/collab.ts` compares, and how they are trained.
 */
/** Three experts that see little of a text, its start and its end, and a larger model that sees twice as much. */
export const specsOf = (tokens: number) => {
  const pooling = "mean" as const
  const view = (from: "start" | "end", limit: number) => ({ from, tokens: limit }) as const
  return {
    specs: [
      { name: "brief", view: view("start", Math.max(8, Math.floor(tokens / 3))), pooling },
      { name: "start", view: view("start", tokens), pooling },
      { name: "end", view: view("end", tokens), pooling },
    ],
    larger: { name: "one larger model", view: view("start", 2 * tokens), pooling },
  }
}

/** Sizes of the experts, and of one model with about as many parameters as all of them. */
export const encoderSizes = (hidden: number) => {
  const expert = { layers: 2, hidden, heads: hidden / 32, inner: 2 * hidden, positions: 128 }
  return { expert, larger: { ...expert, hidden: (hidden * 9) / 4, heads: 4, inner: (hidden * 9) / 2 } }
}

/** Training of experts, which begin with the same weights, so that averaging them means something. */
export const expertOptions = {
  batch: 32,
  weightDecay: 0.01,
  dropout: 0.3,
  initialSeed: 0,
  part: { index: 0, of: 1 },
}

/** Training of heads: small batches, since there are few rows. */
export const headOptions = {
  batch: 64,
  epochs: 20,
  jointEpochs: 5,
  patience: 3,
  rate: 1e-3,
  gateRate: 5e-4,
  jointRate: 1e-4,
  weightDecay: 1e-2,
  dropout: 0.1,
  balance: 0.01,
  supervision: 0.1,
  tau: 1,
  topK: 3,
}

const sizes = {
  width: 64,
  hidden: 128,
  heads: 4,
  rank: 32,
  groups: [[0, 1], [2]],
  l2: [1e-4, 1e-3, 1e-2],
}

/** A regression has one minimum, and has to get there. */
const regression = { rate: 2e-2, epochs: 100, patience: 10 }

/** Every strategy, by the name it has in tables. */
export const heads = [
  { name: "F1 static average", strategy: "static", ...sizes },
  { name: "F2 gated average", strategy: "gated", ...sizes },
  { name: "F2 gated features", strategy: "gatedFeatures", ...sizes },
  { name: "F3 concat + MLP", strategy: "concat", ...sizes },
  { name: "F4 attention", strategy: "attention", ...sizes },
  { name: "F5 stacking", strategy: "stacking", ...sizes, ...regression },
  { name: "F6 bilinear", strategy: "bilinear", ...sizes },
  { name: "hierarchy of two groups", strategy: "hierarchy", ...sizes },
  { name: "concat + regression", strategy: "regression", ...sizes, ...regression },
] as const

/**
 * Heads that are trained for few experts: the joint stage goes from all of them to one, at the rate of the fusion and as
 * long, since it has to learn to do without.
 */
export const narrowHeads = heads
  .filter(({ strategy }) => strategy === "concat" || strategy === "attention")
  .map((head) => ({
    ...head,
    name: `${head.name}, annealed`,
    topK: 1,
    anneal: true,
    jointRate: headOptions.rate,
    jointEpochs: headOptions.epochs,
  }))

/** Heads over features have sizes and rates to choose; these are tuned where that is asked for. */
export const tunedHeads: ReadonlyArray<string> = ["F2 gated features", "F3 concat + MLP", "F4 attention"]

/** What is searched: rates in even steps of their logarithm, since a rate counts by its factor. */
export const headDomains = {
  rate: [3e-4, 1e-3, 3e-3, 1e-2],
  gateRate: [2e-4, 5e-4, 2e-3, 5e-3],
  width: [32, 64, 128],
  dropout: { least: 0, greatest: 0.5 },
  weightDecay: [1e-3, 1e-2, 1e-1],
} as const

/** Heads whose answers are timed. */
export const timedHeads: ReadonlyArray<string> = [
  "F1 static average",
  "F2 gated average",
  "F2 gated features",
  "F3 concat + MLP",
  "F4 attention",
]
