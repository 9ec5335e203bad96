/**
 * What a part of a model is for, by the words in its name: of the tensors (`vision_tower.encoder.layers`) or of the section
 * of config.json (`vision_config`).
 */

/** `draft` are parts that guess tokens ahead or speak, besides the text; an encoder and a decoder come in pairs. */
export type Role = "text" | "vision" | "audio" | "projector" | "draft" | "encoder" | "decoder"

const connector =
  /^(?:(?:mm|multi_?modal|vision|visual|audio|speech|image|deepstack)_)*(?:projectors?|projection|connector|resampler|perceiver|merger|q_?former|adapt[eo]r|aligner|embed_(?:vision|audio))(?:_|$)/

const words: ReadonlyArray<readonly [Role, RegExp]> = [
  ["projector", connector],
  ["vision", /vision|visual|image|img|siglip|clip|(?:^|_)vit(?:_|$)/],
  ["audio", /audio|speech|sound|conformer|code2wav|token2wav|codec/],
  ["draft", /^mtp|draft|eagle|talker/],
]

/** Whether one step of a name is a part that joins pictures or sound to the text. */
export const isConnector = (step: string): boolean => connector.test(step)

/** The role of a part that has a name of its own among others; `text` where no word says otherwise. */
export const of = (steps: ReadonlyArray<string>): Role =>
  words.find(([, pattern]) => steps.some((step) => pattern.test(step)))?.[0] ?? "text"

/** The half of an encoder-decoder that a name belongs to. */
export const halfOf = (steps: ReadonlyArray<string>): "encoder" | "decoder" | undefined =>
  steps.some((step) => step.includes("decoder"))
    ? "decoder"
    : steps.some((step) => step.includes("encoder"))
      ? "encoder"
      : undefined

/** The name that recipes give a part of this role, and others for the same. */
export const names: Readonly<Record<Role, ReadonlyArray<string>>> = {
  text: ["text_decoder", "language_model", "text_model"],
  vision: ["vision_tower", "vision_model", "visual"],
  audio: ["audio_tower", "audio_model"],
  projector: ["multi_modal_projector", "connector"],
  draft: ["draft"],
  encoder: ["encoder"],
  decoder: ["decoder"],
}
