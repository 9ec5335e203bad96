/** What a model is asked for a task's items: requests as tokens, and their answers through a journal. */
export { answer, type Progress, respondent, type Respondent } from "./requests/Answering.ts"
export { continued, type Continued, type Vocabulary, windows } from "./requests/Encoding.ts"
export { type Journal, memory, open } from "./requests/Journal.ts"
export type { Answer, Request } from "./requests/Request.ts"
