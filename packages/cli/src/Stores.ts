/** The store that a command works on. */
import { Address, Remote, Store, type StoreError } from "@hila/core"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { statSync } from "node:fs"
import { resolve } from "node:path"
import { UsageError } from "./CliError.ts"
import { warn } from "./Warnings.ts"

/** What a server of a store asks for, on either side: a flag would show it to everybody on the machine. */
export const token = (): { readonly token?: string } => {
  const { HILA_STORE_TOKEN } = process.env
  return HILA_STORE_TOKEN === undefined || HILA_STORE_TOKEN === "" ? {} : { token: HILA_STORE_TOKEN }
}

/** The store of `--store`, and behind it the one of `--remote`. */
export const layer = (given: {
  readonly store: string
  readonly remote?: Option.Option<string>
}): Layer.Layer<Store, StoreError | UsageError> => {
  const local = Layer.unwrap(
    Effect.suspend(() =>
      statSync(given.store, { throwIfNoEntry: false })?.isFile() === true
        ? Effect.fail(new UsageError({ problem: `--store ${given.store}: is a file: name a directory` }))
        : Effect.succeed(Store.layer(resolve(given.store))),
    ),
  )
  const url = given.remote ?? Option.none()
  if (Option.isNone(url)) return local
  const { token: secret } = token()
  const address = Address.problem(url.value)
  const unsent = secret === undefined ? undefined : Address.tokenProblem(secret)
  const problem =
    address !== undefined
      ? `--remote ${Address.shown(url.value)} ${address}`
      : unsent === undefined
        ? undefined
        : `HILA_STORE_TOKEN ${unsent}`
  return problem === undefined
    ? Remote.layer({ url: url.value, warn, ...token() }).pipe(Layer.provide(local))
    : Layer.unwrap(Effect.fail(new UsageError({ problem })))
}
