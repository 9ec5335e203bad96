/**
 * The micro task: seeded, distinct questions for the micro family, with their answers.
 *
 * A set is fixed by domain, side and seed; `skip` and `take` cut disjoint pieces out of it (score, tune and
 * report sets, say). Questions come in the frequencies the family was trained on, without repetition: the
 * order is that of drawing again and again and keeping what is new. `MicroRules` holds the rules themselves.
 */
import type { Question } from "@hila/model"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import * as MicroRules from "./MicroRules.ts"

/** The string that ends an answer: the family seldom writes `</s>`, but always a newline. */
export const stop = "\n"

/** The prompt of a bare question: `Q: 87+45` and, on the next line, `A:`. */
export const prompt = (question: string): string => `Q: ${question}\nA:`

/** Which questions: `take` (≥ 0) of them after the first `skip` (≥ 0, default 0) of the seed's order. */
export interface Selection {
  readonly domain: MicroRules.Domain
  readonly side: MicroRules.Side
  readonly seed: number
  readonly skip?: number
  readonly take: number
}

/**
 * Distinct questions of one side, with answers; fewer than `take` where the side has no more (lang has 78 held
 * out). The same selection always gives the same questions.
 */
export const questions = Effect.fn("Micro.questions")(
  function* ({ domain, side, skip = 0, take }: Selection) {
    const random = yield* Random.Random
    const below = (n: number) => Math.floor(random.nextDoubleUnsafe() * n)
    const wanted = Math.min(skip + take, MicroRules.count(domain, side))
    const drawn = new Set<string>()
    while (drawn.size < wanted) {
      const question = MicroRules.draw(domain, below)
      if (MicroRules.side(question) === side) drawn.add(question)
    }
    return [...drawn].slice(skip).map((question): Question.Question => ({
      domain,
      prompt: prompt(question),
      answer: MicroRules.solve(question) ?? "",
    }))
  },
  (effect, { domain, side, seed }) => Random.withSeed(effect, `micro/${domain}/${side}/${seed}`),
)
