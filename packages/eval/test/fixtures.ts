/** Where the tests find the micro family, and the reference material that lies beside the repository. */
import { existsSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"

export const shared = new URL("../../../../shared/", import.meta.url)
export const hasShared = existsSync(shared)

export const members = ["base", "math", "code", "lang"] as const
export const checkpointPath = (member: string) =>
  fileURLToPath(new URL(`../../../fixtures/micro/${member}`, import.meta.url))

export interface Recorded {
  readonly domain: string
  readonly question: string
  readonly answer: string
  readonly outputs: Readonly<Record<(typeof members)[number], string>>
}

/** The 478 held-out questions with the reference answers of the four models. */
export const recorded = (): ReadonlyArray<Recorded> =>
  readFileSync(new URL("models/micro/questions.jsonl", shared), "utf8")
    .split("\n")
    .filter((line) => line !== "")
    .map((line): Recorded => JSON.parse(line))

/** The reference accuracies of the four models on them. */
export const recordedAccuracy = (): Readonly<Record<string, Readonly<Record<string, number>>>> =>
  JSON.parse(readFileSync(new URL("models/micro/accuracy.json", shared), "utf8"))
