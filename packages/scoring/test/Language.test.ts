import { assert, describe, it } from "@effect/vitest"
import * as Language from "../src/Language.ts"

/** One plain sentence of each language. */
const sentences: Readonly<Record<Language.Language, string>> = {
  ar: "هذا هو الكتاب الذي قرأته في المدرسة مع أصدقائي.",
  bg: "Това е книгата, която прочетох в училището с моите приятели, и тя ще ти хареса.",
  bn: "আমি স্কুলে আমার বন্ধুদের সাথে এই বইটি পড়েছি।",
  cs: "To je kniha, která se mi líbí, a já ji čtu ve škole.",
  da: "Det er en bog, som jeg har læst i skolen, og den er ikke så tung.",
  de: "Das ist das Buch, das ich in der Schule gelesen habe.",
  el: "Αυτό είναι το βιβλίο που διάβασα στο σχολείο.",
  en: "This is the book that I have read in the school with my friends.",
  es: "Este es el libro que leí en la escuela con mis amigos.",
  fa: "این کتاب را در مدرسه با دوستانم خواندم و برای من خوب است.",
  fi: "Tämä on kirja, jonka luin koulussa, ja se ei ole vaikea.",
  fr: "C'est le livre que j'ai lu dans une école avec des amis.",
  he: "זה הספר שקראתי בבית הספר עם החברים שלי.",
  hi: "यह वह किताब है जो मैंने स्कूल में पढ़ी।",
  hu: "Ez egy könyv, amit az iskolában olvastam, és nem nehéz.",
  id: "Ini adalah buku yang saya baca di sekolah dengan teman.",
  it: "Questo è il libro che ho letto nella scuola con gli amici.",
  ja: "これは学校で友達と読んだ本です。",
  ko: "이것은 내가 학교에서 친구들과 읽은 책이다.",
  nl: "Dit is het boek dat ik op school met mijn vrienden heb gelezen.",
  pl: "To jest książka, którą przeczytałem w szkole, i nie jest trudna.",
  pt: "Este é o livro que eu li na escola com os meus amigos.",
  ro: "Aceasta este o carte pe care am citit-o la școală cu prietenii mei.",
  ru: "Это книга, которую я прочитал в школе, и она не была трудной.",
  sv: "Det är en bok som jag har läst i skolan och den är inte så svår.",
  sw: "Hii ni kitabu ambayo nilisoma katika shule na rafiki zangu.",
  ta: "இது நான் பள்ளியில் நண்பர்களுடன் படித்த புத்தகம்.",
  te: "ఇది నేను పాఠశాలలో స్నేహితులతో చదివిన పుస్తకం.",
  th: "นี่คือหนังสือที่ฉันอ่านที่โรงเรียนกับเพื่อน",
  tr: "Bu kitap okulda arkadaşlar ile okuduğum ve çok sevdiğim bir kitap.",
  uk: "Це книга, яку я прочитав у школі, і вона була для мене не важка.",
  ur: "یہ وہ کتاب ہے جو میں نے اسکول میں دوستوں کے ساتھ پڑھی۔",
  vi: "Đây là cuốn sách mà tôi đã đọc ở trường với những người bạn.",
  zh: "这是我在学校和朋友们一起读的书。",
}

describe("Language.identify", () => {
  it.each(Object.entries(sentences))("knows a sentence of %s", (language, sentence) => {
    assert.strictEqual(Language.identify(sentence), language)
  })

  it("names no language where none can be told", () => {
    for (const text of ["", "42 + 17 = 59", "zweiundvierzig", "Paris", "Å"])
      assert.isUndefined(Language.identify(text), text)
  })

  it("goes by most of the text where languages are mixed", () => {
    assert.strictEqual(Language.identify("The word 答案 is in the text that we read."), "en")
    assert.strictEqual(Language.identify("这道题的答案是 forty，我们再算一遍就知道了。"), "zh")
  })
})

describe("Language.shareOf", () => {
  it("counts letters alone", () => {
    assert.strictEqual(Language.shareOf("答案 42!", "Han"), 1)
    assert.strictEqual(Language.shareOf("ab 答案", "Latin"), 0.5)
    assert.strictEqual(Language.shareOf("42", "Latin"), 0)
  })
})
