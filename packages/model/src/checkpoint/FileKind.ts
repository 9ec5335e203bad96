/**
 * What a file in a model's directory is, by its name: it decides what goes along with weights made from the model.
 *
 * What describes the model (config, tokenizer, processors, code) goes along. What holds other weights or says how to
 * load them, and what training left, would be found by loaders and is not of the new weights. A file of an unknown name
 * is for whoever asks to judge.
 */

/** `model`: what describes it. `document`: texts for people. `recipe`: how an earlier merge was made. */
export type FileKind = "model" | "document" | "weights" | "adapter" | "training" | "recipe" | "unknown"

/** The first that matches counts; they look at the whole name, folders included. */
const kinds: ReadonlyArray<readonly [FileKind, RegExp]> = [
  // Folders of training runs hold whole checkpoints with configs and adapters of their own.
  ["training", /(?:^|\/)(?:checkpoint-\d+|global_step\d+|runs|wandb)\//],
  ["weights", /(?:^|\/)(?:original|onnx|openvino|coreml|gguf|metal|\w+\.mlpackage)\//],
  ["adapter", /(?:^|\/)adapter_(?:config\.json|model\.[^/]+)$/],
  [
    "training",
    /(?:^|\/)(?:optimizer|scheduler|scaler|training_args|rng_state\w*)\.(?:pt|pth|bin|json|safetensors)$/,
  ],
  [
    "training",
    /(?:^|\/)(?:trainer_state\.json|trainer_log\.jsonl|zero_to_fp32\.py|latest|events\.out\.tfevents\.[^/]+)$/,
  ],
  ["training", /(?:^|\/)(?:(?:all|train|eval|predict|test)_results\.json|training_\w*loss\.png)$/],
  ["weights", /(?:^|\/)openvino_[^/]+\.(?:xml|bin)$/],
  [
    "weights",
    /\.(?:safetensors|bin|pt|pth|ckpt|h5|msgpack|gguf|ggml|onnx|onnx_data|onnx\.data|pkl|pickle)(?:\.index\.json)?$/,
  ],
  ["weights", /\.(?:npz|npy|tflite|mlmodel|pdparams|ot|nemo|engine|llamafile|imatrix)$/],
  ["weights", /(?:^|\/)(?:hf_)?quant(?:ize|ization)?_config\.json$/],
  // The config of weights in the form that Mistral gives out.
  ["weights", /^params\.json$/],
  ["recipe", /^mergekit_(?:moe_)?config\.ya?ml$/],
  [
    "document",
    /(?:^|\/)(?:LICEN[CS]E|NOTICE|USE_POLICY|README|CITATION|SECURITY)[^/]*$|\.(?:md|pdf|png|jpe?g|gif|svg|webp)$/i,
  ],
  [
    "model",
    /(?:^|\/)(?:[^/]*config[^/]*\.json|special_tokens_map\.json|added_tokens\.json|normalizer\.json|modules\.json)$/,
  ],
  [
    "model",
    /(?:^|\/)(?:tokenizer[^/]*|tekken[^/]*\.json|vocab\.[^/]+|merges\.txt|chat_template[^/]*|requirements\.txt)$/,
  ],
  ["model", /\.(?:model|spm|tiktoken|jinja|py)$/],
]

/** The kind of a file, by its relative POSIX name. */
export const of = (name: string): FileKind =>
  kinds.find(([, pattern]) => pattern.test(name))?.[0] ?? "unknown"

/** Whether a file goes along with weights that are made from the model's. */
export const isCarried = (name: string): boolean => ["model", "document", "unknown"].includes(of(name))
