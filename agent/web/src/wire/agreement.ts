// Holds the page's readers against the device's messages: each must give the same members, of the same types, with the
// same ones optional.  There is nothing here to run; the type check fails if a field differs (`make lint`).
import type * as Wire from "./generated.js";
import type * as page from "./messages.js";
import type { Checked, Checker } from "./schema.js";

/** With every member there, so that two members that are both optional cannot pass for each other. */
type Full<T> = T extends object ? { [K in keyof T]-?: Full<T[K]> } : T;

/** Names of members that only one of the two has: none. */
type Extra<A, B> = Exclude<keyof Full<A>, keyof Full<B>> | Exclude<keyof Full<B>, keyof Full<A>>;

/** The type that `C` reads, if it is exactly `B`. */
type Reads<C extends Checker<B>, B> =
  Full<Checked<C>> extends Full<B>
    ? Full<B> extends Full<Checked<C>>
      ? Extra<Checked<C>, B> extends never
        ? true
        : { differs: Extra<Checked<C>, B> }
      : { differs: B }
    : { differs: Checked<C> };

type All<T extends true[]> = T;

/** The page knows no kinds of entries: one that is new must not hide the others. */
type Entry = Omit<Wire.LedgerEntry, "kind"> & { kind: string };

/** The page opens captured files only, and refuses one that lists redactions or calls itself exact. */
type CapturedContext = Omit<Wire.Context, "redactions" | "exact">;

export type Agreement = All<
  [
    Reads<typeof page.footageRequest, Wire.FootageRequest>,
    Reads<typeof page.enrolment, Wire.Enrolment>,
    Reads<typeof page.approval, Wire.Approval>,
    Reads<typeof page.tip, Wire.Tip>,
    Reads<typeof page.coApproval, Wire.CoApproval>,
    Reads<typeof page.trustChange, Wire.TrustChange>,
    Reads<typeof page.settings, Wire.Settings>,
    Reads<typeof page.receipt, Wire.Receipt>,
    Reads<typeof page.deletion, Wire.Deletion>,
    Reads<typeof page.bulletin, Wire.Bulletin>,
    Reads<typeof page.ownerCard, Wire.OwnerCard>,
    Reads<typeof page.trustBundle, Wire.TrustBundle>,
    Reads<typeof page.rootFile, Wire.RootFile>,
    Reads<typeof page.trustTimestamp, Wire.TrustTimestamp>,
    Reads<typeof page.trustPackage, Wire.TrustPackage>,
    Reads<typeof page.trustSection, Wire.TrustSection>,
    Reads<typeof page.begin, Wire.Begin>,
    Reads<typeof page.segmentRecord, Wire.SegmentRecord>,
    Reads<typeof page.recoveredRecord, Wire.RecoveredRecord>,
    Reads<typeof page.manifestLine, Wire.SignedLine>,
    Reads<typeof page.context, CapturedContext>,
    Reads<typeof page.ledgerEntry, Entry>,
  ]
>;
