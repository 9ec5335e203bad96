/**
 * Language identification: which language a text is in, by its writing system and its small words.
 *
 * Articles, prepositions and pronouns make up a third of running text and hardly ever are words of another language
 * (Grefenstette 1995, "Comparing two language identification schemes", the scheme of small words). A phrase without any,
 * such as a number, is of no language that can be told.
 */

/** The writing systems that are told apart. */
export const scripts = [
  "Latin",
  "Han",
  "Cyrillic",
  "Arabic",
  "Devanagari",
  "Hangul",
  "Thai",
  "Greek",
  "Hebrew",
] as const

/** Scripts that one language of those here is written in. */
const ofScript: Readonly<Record<string, Language>> = {
  Hangul: "ko",
  Thai: "th",
  Greek: "el",
  Hebrew: "he",
  Devanagari: "hi",
  Bengali: "bn",
  Telugu: "te",
  Tamil: "ta",
}

/** Small words of the languages that share a script. */
const smallWords: Readonly<Partial<Record<Language, string>>> = {
  en: "the of and to in is that it was for on are with as his they be at this have from or by not but what all were when we there can an which their if will how about",
  de: "der die das und in zu den ist nicht von sie mit dem sich des ein eine auf für er es ich wir als auch an werden aus hat dass kann einen einem wie wird sind bei oder um nach",
  fr: "le la les de des du et en un une est que qui dans pour ce pas il elle sur au plus par ne se avec sont je nous vous mais ou cette son ses aux être était",
  es: "el la los las de y en que un una es por con para se no su lo al del como más pero sus le ya o este sí porque esta entre cuando muy sin sobre también hasta hay",
  it: "il la le di e che un una per in non è del della con si sono da come al lo ma gli i dei delle nel più anche alla questo ha se dal dalla ci essere",
  pt: "o a os as de e que do da em um uma para com não é se na no por mais dos como mas ao foi ele das à sua ou seu quando muito nos já eu também pelo pela são",
  nl: "de het een en van in is dat op te zijn met voor niet aan er om ook als dan maar bij of uit nog naar heeft hij ze wordt door werd deze over kan",
  sv: "och att det i en som på är av för med den till inte om ett han men var jag från vi så de har ska kan eller när hade efter vid också",
  da: "og at det i en som på er af for med den til ikke om et han men var jeg fra vi så de har skal kan eller når efter ved også blev",
  pl: "i w na z do się nie to że jest jak o po co ale za od przez dla są czy tym tak jego który która było może tylko jako przy przed",
  cs: "a v na se je že to do s z o pro jsou by jako ale od jeho po tak která který jsem nebo byl aby při před mezi však také",
  ro: "și de la în a cu pe că un o nu este din pentru care mai se sunt să prin fi sau ca după fost au dar cel într lui",
  hu: "a az és hogy nem is egy van ez meg volt de csak ha mint már mert vagy ki még el fel kell lehet minden olyan",
  fi: "ja on ei se että oli hän mutta ovat kun niin myös joka tai mitä ole kuin sen tämä vain jos voi olla ne mukaan sekä",
  tr: "ve bir bu da de için ile çok daha ne gibi en kadar olan olarak ama ise değil var sonra mi her ya ki o şey olduğu",
  id: "yang dan di itu dengan untuk tidak ini dari dalam akan pada juga ke karena ada adalah atau bisa mereka saya kita oleh sudah seperti tersebut",
  vi: "và là của có không được cho một các những người trong đã với này khi đến từ cũng như để ra nhưng về",
  sw: "na ya wa kwa ni za la katika kuwa cha hii yake ambayo hiyo kama au lakini pia huu wake sana baada ili",
  ru: "и в не на что я с он как это по но к из у за от так же все она было бы для о мы был его или когда есть может",
  uk: "і в не на що я з він як це по але до за від так та все вона було для ми був його або коли є може який",
  bg: "и в не на че с той като това по но от за се са е да ще ли до при беше му или когато има може който",
  ar: "في من على أن إلى هذا هذه التي الذي عن مع كان لا ما هو هي أو كل قد بين ذلك بعد عند ثم كما لم",
  fa: "و در به از که این را با است برای آن یک خود تا بر هم شد می بود شده ها نیز اما کرد هر باید",
  ur: "کے کی میں کا ہے اور سے کو پر نے یہ کہ ہیں اس تھا بھی ایک جو نہیں تو کر ان وہ گیا ہو",
}

/** ISO 639-1 codes of the languages that can be told. */
export const languages = [
  "ar",
  "bg",
  "bn",
  "cs",
  "da",
  "de",
  "el",
  "en",
  "es",
  "fa",
  "fi",
  "fr",
  "he",
  "hi",
  "hu",
  "id",
  "it",
  "ja",
  "ko",
  "nl",
  "pl",
  "pt",
  "ro",
  "ru",
  "sv",
  "sw",
  "ta",
  "te",
  "th",
  "tr",
  "uk",
  "ur",
  "vi",
  "zh",
] as const
export type Language = (typeof languages)[number]

const sets = languages.flatMap((language) => {
  const words = smallWords[language]
  return words === undefined ? [] : [{ language, words: new Set(words.split(" ")) }]
})

const count = (text: string, pattern: RegExp): number => text.match(pattern)?.length ?? 0

/** Share of a text's letters that are of a script, 0…1; 0 where it has no letters. */
export const shareOf = (text: string, script: (typeof scripts)[number]): number => {
  const letters = count(text, /\p{L}/gu)
  return letters === 0 ? 0 : count(text, new RegExp(`(?=\\p{L})\\p{Script=${script}}`, "gu")) / letters
}

/**
 * The language of a text, or undefined where it cannot be told: no letters, or as many small words of one language as of
 * another.
 */
export const identify = (text: string): Language | undefined => {
  const letters = count(text, /\p{L}/gu)
  const isMost = (pattern: RegExp) => 2 * count(text, pattern) > letters
  if (isMost(/(?=\p{L})[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/gu)) {
    // Japanese has its endings and particles in hiragana; Chinese has none.
    return /\p{Script=Hiragana}/u.test(text) ? "ja" : "zh"
  }
  for (const [script, language] of Object.entries(ofScript))
    if (isMost(new RegExp(`(?=\\p{L})\\p{Script=${script}}`, "gu"))) return language
  const words = text.toLowerCase().match(/[\p{L}\p{M}]+/gu) ?? []
  const found = sets
    .map(({ language, words: own }) => ({ language, known: words.filter((word) => own.has(word)).length }))
    .toSorted((a, b) => b.known - a.known)
  const [first, second] = found
  return first !== undefined && first.known > (second?.known ?? 0) ? first.language : undefined
}
