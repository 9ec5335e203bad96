/**
 * What predictions are worth: accuracy, macro-F1, negative log-likelihood, calibration.
 *
 * Predictions are log-probabilities [rows, classes]; the class of a row is its most likely one, the first among equals.
 */
import { known } from "@hila/core/Lookup"

/** The most likely class of each row. */
export const classesOf = (logProbabilities: Float32Array, classes: number): Int32Array => {
  const rows = classes === 0 ? 0 : logProbabilities.length / classes
  return Int32Array.from({ length: rows }, (_, row) => {
    let best = 0
    for (let c = 1; c < classes; c++) {
      if (known(logProbabilities[row * classes + c]) > known(logProbabilities[row * classes + best])) best = c
    }
    return best
  })
}

/** 1 where the class is right, else 0. */
export const correct = (predicted: ArrayLike<number>, labels: ArrayLike<number>): ReadonlyArray<number> =>
  Array.from(predicted, (label, i) => (label === labels[i] ? 1 : 0))

/** Mean over classes of 2·TP / (2·TP + FP + FN), 0 for a class that is neither there nor predicted. */
export const macroF1 = (predicted: ArrayLike<number>, labels: ArrayLike<number>, classes: number): number => {
  const [hits, wrong] = [new Float64Array(classes), new Float64Array(classes)]
  for (let i = 0; i < predicted.length; i++) {
    const [given, right] = [known(predicted[i]), known(labels[i])]
    if (given === right) hits[given] = known(hits[given]) + 1
    else {
      wrong[given] = known(wrong[given]) + 1
      wrong[right] = known(wrong[right]) + 1
    }
  }
  let sum = 0
  for (let c = 0; c < classes; c++)
    sum += hits[c] === 0 ? 0 : (2 * known(hits[c])) / (2 * known(hits[c]) + known(wrong[c]))
  return sum / Math.max(1, classes)
}

/** Mean −log p of the right class, in nats. */
export const nll = (logProbabilities: Float32Array, labels: ArrayLike<number>, classes: number): number => {
  let sum = 0
  for (let i = 0; i < labels.length; i++) sum -= known(logProbabilities[i * classes + known(labels[i])])
  return sum / Math.max(1, labels.length)
}

/** Expected calibration error over 15 bins of confidence (Guo et al., 2017). */
export const ece = (
  logProbabilities: Float32Array,
  labels: ArrayLike<number>,
  classes: number,
  bins = 15,
): number => {
  const predicted = classesOf(logProbabilities, classes)
  const [sums, hits] = [new Float64Array(bins), new Float64Array(bins)]
  predicted.forEach((label, i) => {
    const confidence = Math.exp(known(logProbabilities[i * classes + label]))
    const bin = Math.min(bins - 1, Math.floor(confidence * bins))
    sums[bin] = known(sums[bin]) + confidence
    hits[bin] = known(hits[bin]) + (label === labels[i] ? 1 : 0)
  })
  const gaps = Array.from(sums, (sum, bin) => Math.abs(sum - known(hits[bin])))
  return gaps.reduce((a, b) => a + b, 0) / Math.max(1, predicted.length)
}

/** log softmax(z / temperature) of each row of logits [rows, classes]. */
export const logSoftmax = (logits: Float32Array, classes: number, temperature = 1): Float32Array => {
  const out = new Float32Array(logits.length)
  for (let at = 0; at < logits.length; at += classes) {
    let largest = -Infinity
    for (let c = 0; c < classes; c++) largest = Math.max(largest, known(logits[at + c]) / temperature)
    let sum = 0
    for (let c = 0; c < classes; c++) sum += Math.exp(known(logits[at + c]) / temperature - largest)
    const norm = largest + Math.log(sum)
    for (let c = 0; c < classes; c++) out[at + c] = known(logits[at + c]) / temperature - norm
  }
  return out
}

/**
 * The temperature T > 0 of least negative log-likelihood of softmax(z / T) (Guo et al., 2017), within 1/20…20.
 *
 * The likelihood has one minimum in log T, so a golden-section search finds it.
 */
export const temperature = (logits: Float32Array, labels: ArrayLike<number>, classes: number): number => {
  const loss = (log: number) => nll(logSoftmax(logits, classes, Math.exp(log)), labels, classes)
  const ratio = (Math.sqrt(5) - 1) / 2
  let [low, high] = [-Math.log(20), Math.log(20)]
  let [a, b] = [high - ratio * (high - low), low + ratio * (high - low)]
  let [lossA, lossB] = [loss(a), loss(b)]
  for (let i = 0; i < 40; i++) {
    if (lossA <= lossB) {
      ;[high, b, lossB] = [b, a, lossA]
      a = high - ratio * (high - low)
      lossA = loss(a)
    } else {
      ;[low, a, lossA] = [a, b, lossB]
      b = low + ratio * (high - low)
      lossB = loss(b)
    }
  }
  return Math.exp((low + high) / 2)
}
