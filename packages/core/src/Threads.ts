/** How worker threads of all packages are started. */

/**
 * Options of Node for a thread. It takes over neither the conditions nor the loaders of its parent, so that sources say
 * that packages are to be found as sources.
 */
export const execArgv: ReadonlyArray<string> = [
  "--disable-warning=ExperimentalWarning",
  ...(import.meta.url.endsWith(".ts") ? ["--conditions=@hila/source"] : []),
]
