// The ways in which opening a device fails, as typed errors that list what was looked at.

import { AttncError, missingFeature, noAdapter } from '../errors.js';

/** What was looked at while choosing a device, and what came of it. */
export interface Candidate {
  /** Where it comes from: 'system', 'lavapipe folder', 'Chromium', 'npm package', 'null'. */
  readonly source: string;
  /** The adapter's name, or why there is none. */
  readonly found: string;
}

/** All candidates in a line, for messages. */
export function describeCandidates(candidates: readonly Candidate[]): string {
  return candidates.map((candidate) => `${candidate.source}: ${candidate.found}`).join('; ');
}

/** No device at all, or none of the kind or name that was asked for. */
export function noDevice(asked: string | undefined, candidates: readonly Candidate[]): AttncError {
  const seen = describeCandidates(candidates);
  if (asked === undefined) {
    const help = "install a GPU's Vulkan driver, Chromium, or the npm package @sparticuz/chromium 147";
    return noAdapter(`none was found (${seen})`, help);
  }
  return new AttncError('no-adapter', `no device matches '${asked}' (${seen})`, {
    help:
      asked === 'lavapipe26'
        ? 'it needs newer libraries than most systems have: run the command with .ci/with-lavapipe26'
        : "ask for gpu, lavapipe, swiftshader, null, or part of a name that 'attnc devices' prints",
    details: { asked, candidates },
  });
}

/** The adapter lacks features that must be there. */
export function featuresMissing(
  adapter: string,
  missing: readonly string[],
  offered: readonly string[],
): AttncError {
  if (missing.length === 1) return missingFeature(missing[0]!, offered);
  return new AttncError('missing-feature', `${adapter} does not have the features ${missing.join(', ')}`, {
    help: 'compile for a target without them (--target portable) or take another device',
    details: { feature: missing[0], missing, offered },
  });
}

/** requestDevice failed for a reason of the driver's own. */
export function deviceRefused(adapter: string, cause: unknown): AttncError {
  const reason = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : String(cause);
  return new AttncError('no-adapter', `${adapter} gave no device: ${reason}`, {
    help: 'another program may hold the GPU, or its driver may be too old',
    details: { adapter, reason },
    cause,
  });
}
