// Made by `make page-types` from the bounds of agent/wire and agent/core.  Do not edit.

export const BUNDLE_ENVELOPE_LIMIT = 1572864;
export const BUNDLE_LIMIT = 1048576;
export const CLOCK_SLACK_S = 300;
export const LONGEST_LINE = 16384;
export const MAX_CASE_CHARACTERS = 64;
export const MAX_CLIPS = 4096;
export const MAX_CONTACT_CHARACTERS = 16384;
export const MAX_DEPTH = 8;
export const MAX_DESCRIPTION_CHARACTERS = 500;
export const MAX_GAPS = 4096;
export const MAX_NAME_CHARACTERS = 100;
export const MAX_PARTS = 30000;
export const MAX_SEGMENTS = 10000;
export const MAX_SETTING_CHARACTERS = 64;
export const MAX_TIP_CHARACTERS = 2000;
export const MAX_TITLE_CHARACTERS = 100;
export const STATEMENT_ENVELOPE_LIMIT = 6291456;
export const STATEMENT_LIMIT = 4194304;
