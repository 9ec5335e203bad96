/**
 * Rows of embeddings and heads, put in the order of the result's vocabulary, before models are merged.
 *
 * A model's own row where it has the token. Else the base's, else the only owner's, else the mean of the owners', unless a
 * rule says otherwise. Ids without a token and padding get the mean of the model's own rows.
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

/** The rows of every model, `[model][id]`, for `rows` ids. */
export const assign = (options: {
  readonly vocabulary: ReadonlyMap<string, number>
  readonly rows: number
  /** Ids by token, of each model. */
  readonly models: ReadonlyArray<ReadonlyMap<string, number>>
  /** Index of the base, if there is one. */
  readonly base: number | undefined
  readonly rules: ReadonlyMap<string, Rule>
}): ReadonlyArray<ReadonlyArray<Row>> => {
  const { base, models, rows, rules, vocabulary } = options
  const result = models.map(() => Array.from({ length: rows }, (): Row => ({ _tag: "Mean" })))
  for (const [token, id] of vocabulary) {
    const owners = models.flatMap((ids, model) => {
      const own = ids.get(token)
      return own === undefined ? [] : [{ model, id: own }]
    })
    const rule = rules.get(token)
    const ofBase = owners.filter(({ model }) => model === base)
    const common: Row =
      rule?.row ??
      (owners.length === 0 ? { _tag: "Mean" } : { _tag: "Rows", from: ofBase.length > 0 ? ofBase : owners })
    for (const [model, to] of result.entries()) {
      const own = owners.filter((owner) => owner.model === model)
      to[id] = own.length > 0 && rule?.force !== true ? { _tag: "Rows", from: own } : common
    }
  }
  return result
}

/** Whether rows are a model's own, in its own order: nothing has to be moved. */
export const isIdentity = (rows: ReadonlyArray<Row>, model: number, has: number): boolean =>
  rows.length === has &&
  rows.every(
    (row, id) =>
      row._tag === "Mean" ||
      (row._tag === "Rows" &&
        row.from.length === 1 &&
        row.from[0]!.model === model &&
        row.from[0]!.id === id),
  )
