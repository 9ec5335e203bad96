/**
 * What every key of an adapter_config.json means here: read, without effect on the weights, or refused unless it says
 * nothing. The keys are those of PEFT's LoraConfig up to 0.21, and those that other trainers add.
 *
 * A key that changes the weights and is ignored gives a wrong model without a word; so what is not listed is refused by
 * name, unless its value says nothing.
 */

/** `read` decides about the weights, `training` does not, the rest is refused with the reason. */
export type Use = "read" | "training" | { readonly refused: string }

/** What PEFT can do with such an adapter and this program cannot. */
export const advice = "merge it with PEFT's merge_and_unload first, and give the result"

const refused = (reason: string): Use => ({ refused: `${reason}: ${advice}` })

const unlike = (reason: string): Use => ({
  refused: `${reason}, so that no weights equal it and it cannot be merged: it is used beside its model`,
})

/** By key. */
export const uses: Readonly<Record<string, Use>> = {
  peft_type: "read",
  r: "read",
  lora_alpha: "read",
  use_rslora: "read",
  rank_pattern: "read",
  alpha_pattern: "read",
  target_modules: "read",
  exclude_modules: "read",
  layers_to_transform: "read",
  layers_pattern: "read",
  modules_to_save: "read",
  fan_in_fan_out: "read",
  bias: "read",
  lora_bias: "read",
  init_lora_weights: "read",

  // Whatever depends on it, the file's tensors show: two factors that are tied, a copy of the head.
  ensure_weight_tying: "training",
  task_type: "training",
  auto_mapping: "training",
  peft_version: "training",
  base_model_name_or_path: "training",
  revision: "training",
  inference_mode: "training",
  lora_dropout: "training",
  runtime_config: "training",
  megatron_core: "training",
  qalora_group_size: "training",
  // Settings of an initialisation, which init_lora_weights names.
  loftq_config: "training",
  eva_config: "training",
  corda_config: "training",
  lora_ga_config: "training",
  // Another backward pass, the same forward pass.
  velora_config: "training",
  // Of the first releases, and of ms-swift: where factors are kept, and learning rates.
  merge_weights: "training",
  lora_dtype: "training",
  lorap_lr_ratio: "training",
  lorap_emb_lr: "training",

  use_dora: refused("its magnitudes rescale every row of a weight (DoRA)"),
  alora_invocation_tokens: unlike("an activated LoRA holds only after its invocation tokens"),
  arrow_config: unlike("it routes between several adapters by the input"),
  use_qalora: refused("its factors see pooled inputs (QA-LoRA)"),
  use_bdlora: refused("its factors are block-diagonal (BD-LoRA)"),
  kasa_config: refused("it truncates the base and scales the factors by singular values (KaSA)"),
  monteclora_config: refused("it adds samples to the factors (MonteCLoRA)"),
  megatron_config: refused("its layers are Megatron's, which are split over processes"),
  layer_replication: refused("it stacks layers of the base, and adapts each copy"),
  target_parameters: refused("it adapts parameters outside of linear layers, several experts in one tensor"),
  trainable_token_indices: refused("it replaces single rows of the embedding"),
  enable_lora: refused("it adapts parts of a fused layer"),
}

/** What is wrong with `peft_type`, if anything is. */
export const typeProblem = (value: unknown): string | undefined => {
  if (value === "LORA") return undefined
  if (value === undefined) return "has no peft_type: only LoRA adapters of PEFT's are read"
  const prompts = typeof value === "string" && /PROMPT|PREFIX|P_TUNING|CPT/.test(value)
  return `peft_type is ${shown(value)}, only "LORA" is read: ${prompts ? "what is put before the input changes no weights" : advice}`
}

/** Initialisations that leave the base as it is. */
const innocent: ReadonlySet<unknown> = new Set([
  true,
  false,
  null,
  undefined,
  "gaussian",
  "eva",
  "orthogonal",
  "mica",
])

/** Initialisations that take their factors out of the base, or train beside a base that was quantised. */
const taken = /^(?:pissa(?:_niter_\d+)?|olora|corda|lora_ga|loftq)$/

/** What is wrong with `init_lora_weights`, if anything is. */
export const initProblem = (value: unknown): string | undefined => {
  if (innocent.has(value)) return undefined
  if (typeof value !== "string" || !taken.test(value))
    return `init_lora_weights is ${shown(value)}, an initialisation that is not known here: ${advice}`
  return (
    `init_lora_weights is ${shown(value)}: the factors belong to a base that this initialisation changed, not to the ` +
    `published one: save the adapter with path_initial_model_for_weight_conversion, or ${advice} ` +
    `(where the model given is that changed base, set the key to true)`
  )
}

/** Whether a value of a refused key asks for nothing: its default in every version of PEFT. */
export const asksNothing = (value: unknown): boolean =>
  value === null || value === false || (Array.isArray(value) && value.length === 0)

/** Whether the value of a key that is not known says nothing either. */
export const saysNothing = (value: unknown): boolean =>
  asksNothing(value) || value === "" || (typeof value === "object" && Object.keys(value ?? {}).length === 0)

/** A value as it stands in the file, cut to a length that fits a line. */
export const shown = (value: unknown): string => {
  // NaN and Infinity are no JSON, and Python writes them.
  const text = typeof value === "number" ? String(value) : (JSON.stringify(value) ?? "absent")
  return text.length > 60 ? `${text.slice(0, 60)}…` : text
}
