/**
 * What a person reads when something went wrong: for each code of `common/errors.py` what happened and one next
 * step, in each language. A code without words does not compile, and a test reads the tree itself.
 */
import { type Code, PlugsideError, isCode } from '../client';
import { errorsDe } from './errors.de';
import { errorsEn } from './errors.en';
import { dictionary } from './i18n';

/** What happened, and what to do next. */
export interface Said {
  readonly what: string;
  readonly next: string;
}

/** Anything that tells a failure: an error of the client, or the code of a settled command. */
export type Trouble = PlugsideError | { readonly code: string; readonly message?: string; readonly hint?: string };

const words = dictionary(errorsEn, errorsDe);

/** The words for a code. Of a newer peer's code that has none here: its own sentence and step. */
export function said(trouble: Trouble): Said {
  if (isCode(trouble.code)) {
    const [what, next] = words()[trouble.code as Code];
    return { what, next };
  }
  const [what, next] = words().protocol;
  return { what: trouble.message || what, next: trouble.hint || next };
}

/** Whatever was thrown, as something that has words. */
export function asTrouble(thrown: unknown): Trouble {
  return thrown instanceof PlugsideError ? thrown : { code: 'internal' };
}
