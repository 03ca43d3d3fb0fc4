// Sentences of the doorbell in the language of the page.
import { inLanguage, learn } from "../../agent/web/src/ui/sentences.js";

const [catalogue, texts] = JSON.parse(process.argv[2]);
learn(catalogue);
console.log(JSON.stringify({ said: texts.map((each) => inLanguage(each) ?? null) }));
