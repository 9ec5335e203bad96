/** What can be asked of some importance methods, apart from the methods: a command has it without loading any. */
export const options = {
  seed: {
    default: 0,
    description: "the same seed draws the same scores",
  },
  quadrature: {
    default: 8,
    /** Least and greatest. */
    range: [1, Infinity],
    description: "points on the way from base to expert",
  },
} as const

/** The names of the options. */
export type Option = keyof typeof options

/** A whole number for each option. */
export type Options = Readonly<Record<Option, number>>
