/**
 * Rows of embeddings and heads, put in the order of the result's vocabulary, before models are merged.
 *
 * A model's own row where it has the token. Else the base's, else the only owner's, else the mean of the owners', unless a
 * rule says otherwise. Ids without a token and padding get the mean of the rows that tokens have in this model's order.
 */

/** Where a row comes from: a model's row, the mean of several, zeros, or the mean of the model itself. */
export type Row =
  | { readonly _tag: "Rows"; readonly from: ReadonlyArray<{ readonly model: number; readonly id: number }> }
  | { readonly _tag: "Zero" }
  | { readonly _tag: "Mean" }

/** What a recipe says about one token. */
export interface Rule {
  readonly row: Exclude<Row, { readonly _tag: "Mean" }>
  /** Also for models that have the token. */
  readonly force: boolean
}

/** A model's tokens, and how many rows it has for them: a token past them is only in the tokenizer. */
export interface Owner {
  readonly ids: ReadonlyMap<string, number>
  readonly rows: number
}

/** The rows of every model, `[model][id]`, for `rows` ids. */
export const assign = (options: {
  readonly vocabulary: ReadonlyMap<string, number>
  readonly rows: number
  readonly models: ReadonlyArray<Owner>
  /** Index of the base, if there is one. */
  readonly base: number | undefined
  readonly rules: ReadonlyMap<string, Rule>
}): {
  readonly models: ReadonlyArray<ReadonlyArray<Row>>
  /** Tokens that no model has a row for and no rule gives one to. */
  readonly unowned: ReadonlyArray<string>
} => {
  const { base, models, rows, rules, vocabulary } = options
  const result = models.map(() => Array.from({ length: rows }, (): Row => ({ _tag: "Mean" })))
  const unowned: Array<string> = []
  for (const [token, id] of vocabulary) {
    const owners = models.flatMap(({ ids, rows: has }, model) => {
      const own = ids.get(token)
      return own === undefined || own >= has ? [] : [{ model, id: own }]
    })
    const rule = rules.get(token)
    if (owners.length === 0 && rule === undefined) unowned.push(token)
    const ofBase = owners.filter(({ model }) => model === base)
    const common: Row = rule?.row ?? { _tag: "Rows", from: ofBase.length > 0 ? ofBase : owners }
    for (const [model, to] of result.entries()) {
      const own = owners.filter((owner) => owner.model === model)
      to[id] = own.length > 0 && rule?.force !== true ? { _tag: "Rows", from: own } : common
    }
  }
  return { models: result, unowned }
}

/** The id of a model's own row, where a row is that. */
export const ownIdOf = (row: Row | undefined, model: number): number | undefined => {
  if (row?._tag !== "Rows" || row.from.length !== 1) return undefined
  const [from] = row.from
  return from?.model === model ? from.id : undefined
}

/** Whether rows are a model's own, all of them and in its own order: nothing has to be written anew. */
export const isIdentity = (rows: ReadonlyArray<Row>, model: number, has: number): boolean =>
  rows.length === has && rows.every((row, id) => ownIdOf(row, model) === id)

/** Whether every row that a model has for a token stays where it is; there may be fewer rows than before, or more. */
export const isInPlace = (rows: ReadonlyArray<Row>, model: number, has: number): boolean =>
  rows.every((row, id) => id >= has || row._tag === "Mean" || ownIdOf(row, model) === id)
