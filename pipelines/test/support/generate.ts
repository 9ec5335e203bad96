/** A pipeline that runs one model given by path, for tests of what a broken one gets. */
import { Pipeline } from "@hila/core"
import { Stages as Evaluation } from "@hila/eval"
import { Checkpoint, Runtime } from "@hila/model"
import * as Schema from "effect/Schema"

export default Pipeline.make({
  name: "generate",
  options: { model: Pipeline.option(Schema.String, "fixtures/micro/base", "directory of a checkpoint") },
  build: ({ model }) => {
    const questions = Evaluation.questions({}, { domain: "math", side: "train", seed: 1, skip: 0, take: 2 })
    const answers = { maxTokens: 8, stop: ["\n"] }
    return {
      accuracy: Evaluation.accuracy({ model: Checkpoint.source(model), questions: [questions] }, answers),
    }
  },
  layer: Runtime.layer,
})
