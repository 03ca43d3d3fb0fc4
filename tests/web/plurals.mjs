// The plural forms that a browser chooses for whole numbers, of each language.
const forms = (language) => {
  const rules = new Intl.PluralRules(language);
  return [...new Set(Array.from({ length: 2000 }, (_, n) => rules.select(n)))].sort();
};
console.log(JSON.stringify(Object.fromEntries(JSON.parse(process.argv[2]).map((each) => [each, forms(each)]))));
