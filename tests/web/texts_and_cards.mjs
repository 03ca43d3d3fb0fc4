// Judges texts and contact cards as the page does before it seals them.
import { lookalikes } from "../../agent/web/src/wire/lookalikes.js";
import { contactCard } from "../../agent/web/src/wire/messages.js";
import { isPlain } from "../../agent/web/src/wire/text.js";

const { texts, cards, names } = JSON.parse(process.argv[2]);
const refusal = (card) => {
  try {
    contactCard(card);
    return "";
  } catch (error) {
    return error.text;
  }
};
process.stdout.write(
  JSON.stringify({
    plain: texts.map((text) => isPlain(text, 40)),
    cards: cards.map(refusal),
    lookalikes: names.map(lookalikes),
  }),
);
