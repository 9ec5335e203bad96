/** Where a formula comes from, as data: definitions of methods have it, and lists of methods show it. */

/** A source. */
export interface Citation {
  /** Authors and year, or the program that has it. */
  readonly text: string
  /** The paper's number on arXiv, as in `2306.01708`. */
  readonly arxiv?: string
  /** Where in the source: a section, an equation, an algorithm. */
  readonly place?: string
}

/**
 * A source in one line.
 *
 * @example
 * Citation.show({ text: "Yadav et al. 2023", arxiv: "2306.01708", place: "algorithm 1" })
 * // => "Yadav et al. 2023 (arXiv 2306.01708), algorithm 1"
 */
export const show = ({ arxiv, place, text }: Citation): string =>
  `${text}${arxiv === undefined ? "" : ` (arXiv ${arxiv})`}${place === undefined ? "" : `, ${place}`}`
