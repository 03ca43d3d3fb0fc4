// Makes a fresh hybrid identity with npm `age-encryption`: prints the identity, then its recipient.

import { generateHybridIdentity, identityToRecipient } from "age-encryption";

const identity = await generateHybridIdentity();
console.log(identity);
console.log(await identityToRecipient(identity));
