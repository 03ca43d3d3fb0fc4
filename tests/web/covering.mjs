// Plans of covers and mutes, the list of redactions, drafts, and the film and sound that the page writes.
// Each line that it reads is a list of jobs; it answers with a line of their results.
import "./globals.mjs";
import { createInterface } from "node:readline";
import { patienceFor } from "../../agent/web/src/link.js";
import { fill, planesOf } from "../../agent/web/src/media/decoded.js";
import { levelFor, pictureAlone } from "../../agent/web/src/media/film_encoder.js";
import { picturesIn } from "../../agent/web/src/media/fmp4.js";
import { LosslessEncoder, signalOf } from "../../agent/web/src/media/lossless_encoder.js";
import { filmHeader, fragment } from "../../agent/web/src/media/mp4_writer.js";
import { muteSound } from "../../agent/web/src/media/mute_sound.js";
import * as draft from "../../agent/web/src/owner/cover_draft.js";
import { requireRoom } from "../../agent/web/src/owner/decisions.js";
import { redactionsOf, requireHidden } from "../../agent/web/src/owner/redaction_plan.js";
import { sealCommitted } from "../../agent/web/src/wire/age.js";
import { base64, concat, unbase64 } from "../../agent/web/src/wire/bytes.js";
import { boxesAt, coveredPixels, lasting, placeAt, placesWithin } from "../../agent/web/src/wire/redactions.js";
import { redactedContext } from "../../agent/web/src/wire/segment.js";

/** @param {() => any} what */
function orRefusal(what) {
  try {
    return { is: what() };
  } catch (error) {
    return { refused: [error.text, error.values] };
  }
}

/** @type {Record<string, (value: any) => any>} */
const jobs = {
  geometry: ({ places, at, from, until, size }) => ({
    at: placeAt(places, at),
    within: placesWithin(places, from, until),
    pixels: coveredPixels(placeAt(places, at), size[0], size[1]),
  }),
  boxes: ({ redactions, length, at, size }) => boxesAt(lasting(redactions, length), at, size[0], size[1]),
  plan: ({ plans, clips }) => orRefusal(() => redactionsOf(plans, clips)),
  hidden: ({ plans, clips, choice }) =>
    orRefusal(() => requireHidden(redactionsOf(plans, clips), clips, choice) ?? "leaves"),
  room: ({ sizes, exact }) =>
    orRefusal(
      () =>
        requireRoom(
          sizes.map((size) => ({ length: size })),
          exact,
        ) ?? "fits",
    ),
  patience: ({ sizes }) => sizes.map(patienceFor),
  muted: ({ sound, redactions, length }) => orRefusal(() => base64(muteSound(unbase64(sound), redactions, length))),
  film: ({ media, width, height, configuration }) => {
    const samples = picturesIn(unbase64(media));
    const starts = samples.flatMap(({ isKey }, i) => (isKey ? [i] : []));
    const parts = starts.map((start, n) => {
      const end = starts[n + 1] ?? samples.length;
      const last = samples[end - 1];
      const own = samples.slice(start, end);
      return fragment(n + 1, [...own.map(({ at }) => at), last.at + last.duration], own);
    });
    return base64(concat(filmHeader({ width, height, configuration: unbase64(configuration) }), ...parts));
  },
  filled: ({ format, width, height }) => {
    const [across, down] = [Math.ceil(width / 2), Math.ceil(height / 2)];
    const chroma = { I420: [0, 1].map((n) => ({ offset: width * height + n * across * down, stride: across })) };
    const planes = { ...chroma, NV12: [{ offset: width * height, stride: 2 * across }] };
    const bytes = new Uint8Array(width * height + 2 * across * down).fill(200);
    const layout = [{ offset: 0, stride: width }, ...planes[format]];
    fill({ format, width, height, bytes, layout }, [0, 0, width, height]);
    return [...new Set(bytes)];
  },
  level: ({ sizes }) => sizes.map(([width, height, perSecond]) => levelFor(width, height, perSecond) ?? null),
  planes: ({ format, width, height, layout, bytes }) =>
    planesOf({ format, width, height, layout, bytes: unbase64(bytes) }).planes.map(base64),
  signal: ({ colours, codec, description }) => signalOf(colours, { codec, description: unbase64(description) }),
  lossless: ({ width, height, pictures, keys, signal }) =>
    orRefusal(() => {
      const encoder = new LosslessEncoder({ width, height, level: 31, signal });
      const size = width * height;
      for (const [i, picture] of pictures.entries()) {
        const all = unbase64(picture);
        const planes = [
          [0, size],
          [size, 1.25 * size],
          [1.25 * size, 1.5 * size],
        ].map((ends) => all.subarray(...ends));
        encoder.add({ width, height, planes }, { isKey: keys.includes(i) });
      }
      const { samples, configuration } = encoder.finish();
      const parts = samples.map((each, i) => fragment(i + 1, [i * 9000, (i + 1) * 9000], [each]));
      return base64(concat(filmHeader({ width, height, configuration }), ...parts));
    }),
  alone: ({ sample }) => orRefusal(() => base64(pictureAlone(unbase64(sample)))),
  seal: async ({ record, device, own, recipient, media, zeros }) => {
    const plain = media ? unbase64(media) : new Uint8Array(zeros);
    const whole = record ? concat(plain, redactedContext(record, { kind: "segment", device, ...own })) : plain;
    const { header, payload, commitment } = await sealCommitted(whole, recipient);
    return { file: base64(concat(header, payload)), commitment };
  },
  drafts: ({ length }) => {
    const drawn = draft.newCover(500, length, [1000, 2000, 3000, 4000]);
    const moved = draft.withPlace(drawn, 1500, [3000, 2000, 3000, 4000]);
    const shorter = draft.between(moved, 1000, 1400, length);
    let many = drawn;
    for (let at = 0; at < 200; at++) many = draft.withPlace(many, at, [0, 0, 100, 100]);
    return {
      drawn,
      moved,
      shorter,
      again: draft.withPlace(moved, 1500, [0, 0, 10_000, 10_000]).places,
      fewer: draft.withoutPlace(moved, 500).places,
      last: draft.withoutPlace(drawn, 500).places,
      backwards: draft.between(drawn, 900, 100, length),
      ends: [length - 501, length - 500, length - 499, length].map(
        (at) => draft.between(drawn, 500, at, length).until_ms,
      ),
      beyond: draft.between(drawn, -5, 10 * length, length),
      late: draft.newCover(10 * length, length),
      many: many.places.length,
      drawing: [draft.rectangleOf([0.5, 0.5], [0.2, 1.7]), draft.rectangleOf([0.5, 0.5], [0.505, 0.9]) ?? null],
      kept: [
        draft.changed([1000, 1000, 2000, 2000], { right: 5, down: -5 }),
        draft.changed([1000, 1000, 2000, 2000], { wider: 5, higher: -5 }),
      ],
      typed: [draft.typed("from_ms", 0.07), draft.typed("until_ms", 0.07)],
      mute: draft.newMute(length),
      there: [999, 1000, 1400, 1401].map((at) => draft.isThere(shorter, at)),
    };
  },
};
for await (const line of createInterface({ input: process.stdin })) {
  const found = [];
  for (const { kind, ...values } of JSON.parse(line)) found.push(await jobs[kind](values));
  process.stdout.write(`${JSON.stringify(found)}\n`);
}
