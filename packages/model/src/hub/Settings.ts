/**
 * Where the Hub is, who asks, and where files are kept: the environment variables that all of the Hub's tools share.
 */
import * as Context from "effect/Context"
import { readFileSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"

export interface Settings {
  /** Without a slash at its end. `HF_ENDPOINT`, else the public Hub. */
  readonly endpoint: string
  /**
   * `HF_TOKEN`, else what a login left in the file `HF_TOKEN_PATH`, by default `token` in `HF_HOME`; a login's is not used
   * where `HF_HUB_DISABLE_IMPLICIT_TOKEN` is set.
   */
  readonly token: string | undefined
  /** `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, or `hub` in `HF_HOME`, by default `~/.cache/huggingface`. */
  readonly cache: string
  /** Whether only what is cached may be used: `HF_HUB_OFFLINE`. */
  readonly offline: boolean
}

type Environment = Readonly<Record<string, string | undefined>>

const filled = (value: string | undefined): string | undefined => (value === "" ? undefined : value)

const isOn = (value: string | undefined): boolean => /^(1|on|yes|true)$/i.test(value ?? "")

/** The first line of a file; nothing where there is none that may be read. */
const firstLine = (path: string): string | undefined => {
  try {
    return readFileSync(path, "utf8").trim().split("\n")[0]
  } catch {
    return undefined
  }
}

/** The settings that an environment asks for. */
export const fromEnvironment = (env: Environment): Settings => {
  const cacheHome = filled(env["XDG_CACHE_HOME"]) ?? join(homedir(), ".cache")
  const home = filled(env["HF_HOME"]) ?? join(cacheHome, "huggingface")
  const login = isOn(env["HF_HUB_DISABLE_IMPLICIT_TOKEN"])
    ? undefined
    : firstLine(filled(env["HF_TOKEN_PATH"]) ?? join(home, "token"))
  return {
    endpoint: (filled(env["HF_ENDPOINT"]) ?? "https://huggingface.co").replace(/\/+$/, ""),
    token: filled(env["HF_TOKEN"]?.trim()) ?? filled(login?.trim()),
    cache: filled(env["HF_HUB_CACHE"]) ?? filled(env["HUGGINGFACE_HUB_CACHE"]) ?? join(home, "hub"),
    offline: isOn(env["HF_HUB_OFFLINE"]),
  }
}

/** The settings in use; those of the process's environment unless others are provided. */
export const Settings: Context.Reference<Settings> = Context.Reference<Settings>("@hila/model/HubSettings", {
  defaultValue: () => fromEnvironment(process.env),
})

/** How far a download is, in bytes; `done` begins where an earlier attempt stopped. Of a push, how far a file is sent. */
export interface Downloaded {
  /** `org/name@commit/file`. */
  readonly file: string
  readonly done: number
  readonly total: number
}

/** Told of every chunk that arrives, and of every file that is sent; nobody is, unless one is provided. */
export const Progress: Context.Reference<(event: Downloaded) => void> = Context.Reference<
  (event: Downloaded) => void
>("@hila/model/HubProgress", { defaultValue: () => () => undefined })
