/**
 * The HTTP interface of a bundle, as a definition: what is asked, what is answered, what is refused.
 */
import * as Schema from "effect/Schema"
import * as HttpApi from "effect/http-api/HttpApi"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiMiddleware from "effect/http-api/HttpApiMiddleware"
import * as OpenApi from "effect/http-api/OpenApi"
import { Answer } from "../Collaboration.ts"

/** Texts of one request at most. */
export const maxTexts = 64
/** Bytes of a request's body at most: 256 KiB. */
export const maxBody = 256 * 1024

const Question = Schema.Struct({
  texts: Schema.Array(Schema.String).check(Schema.isMinLength(1), Schema.isMaxLength(maxTexts)),
})

const Description = Schema.Struct({
  classes: Schema.Array(Schema.String),
  experts: Schema.Array(Schema.String),
  /** How experts are chosen. */
  mode: Schema.Literals(["all", "top-k", "cascade"]),
})

const group = HttpApiGroup.make("collab", { topLevel: true }).add(
  HttpApiEndpoint.post("answer", "/answer", {
    payload: Question,
    success: Schema.Struct({ answers: Schema.Array(Answer) }),
  }).annotateMerge(
    OpenApi.annotations({
      description: `Classifies 1…${maxTexts} texts: class, probabilities, gate weights and which experts ran, for each`,
    }),
  ),
  HttpApiEndpoint.get("describe", "/", { success: Description }).annotateMerge(
    OpenApi.annotations({ description: "What the bundle knows: its classes and experts" }),
  ),
)

/** The whole interface; its OpenAPI document is served at /openapi.json. */
export const api = HttpApi.make("hila-collab")
  .add(group)
  .middleware(HttpApiMiddleware.ProblemDetails)
  .annotateMerge(
    OpenApi.annotations({
      title: "Hila collaboration",
      description: "Small models that answer together. Refusals are problems as in RFC 9457.",
    }),
  )
