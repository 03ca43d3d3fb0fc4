// Made by `make page-types` from the bounds of agent/wire and agent/core.  Do not edit.

export const BUNDLE_ENVELOPE_LIMIT = 1572864;
export const BUNDLE_LIMIT = 1048576;
export const CLOCK_SLACK_S = 300;
export const LONGEST_LINE = 16384;
export const MAX_BASIS_CHARACTERS = 120;
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
export const MAX_SIGNATURES = 17;
export const MAX_TIP_CHARACTERS = 2000;
export const MAX_TIMESTAMP_LIFE_S = 2678400;
export const MAX_TITLE_CHARACTERS = 100;
export const PACKAGE_LIMIT = 2097152;
export const ROOT_ENVELOPE_LIMIT = 98304;
export const STATEMENT_ENVELOPE_LIMIT = 6291456;
export const STATEMENT_LIMIT = 4194304;

/**
 * The least and the greatest value of a field, or the shortest and the longest list.
 *
 * @satisfies {Record<string, [number, number]>}
 */
export const RANGES = {
  "Enrolment.approvers": [1, 8],
  "Enrolment.epoch": [1, 256],
  "Enrolment.recipients": [1, 8],
  "FootageRequest.retention_days": [1, 36525],
  "PrivateHoursSetting.days": [1, 7],
  "QuietHoursSetting.begins_minute": [0, 1439],
  "Settings.max_age_days": [1, 3650],
  "Settings.max_bytes": [10000000, 1000000000000000],
  "Settings.private": [0, 16],
  "Settings.sensitivity_percent": [10, 1000],
  "Settings.smallest_person": [0, 8000],
  "Settings.zones": [0, 32],
  "PartMissing.missing": [1, 64],
  "Receipt.retention_days": [0, 36525],
  "Receipt.stored": [0, 64],
  "TrustChange.roots_added": [0, 16],
  "RequesterEntry.keys": [1, 8],
  "RequesterEntry.regions": [1, 32],
  "RootFile.keys": [1, 8],
  "RootFile.threshold": [1, 8],
  "RootFile.timestamp_keys": [1, 4],
  "TrustBundle.sections": [0, 128],
  "TrustPackage.roots": [1, 16],
  "TrustPackage.sections": [0, 128],
  "ZoneSetting.corners": [3, 64],
};
