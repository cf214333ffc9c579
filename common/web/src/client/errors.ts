/** Errors as on the wire: a stable code, a sentence and a next step (`common/errors.py`). */
import { ERRORS, type Branch, type Code } from './generated';

/** What goes wrong anywhere. `message` and `hint` are English; a screen may have better words for `code`. */
export class PlugsideError extends Error {
  readonly code: Code;
  readonly detail: string;
  readonly hint: string;

  constructor(code: Code, detail = '', told: { message?: string; hint?: string } = {}) {
    const sentence = ERRORS[code].message;
    super(told.message || (detail ? `${sentence} (${detail})` : sentence));
    this.name = 'PlugsideError';
    this.code = code;
    this.detail = detail;
    this.hint = told.hint || ERRORS[code].hint;
  }

  get branch(): Branch {
    return ERRORS[this.code].branch;
  }
}

export function isCode(text: string): text is Code {
  return Object.hasOwn(ERRORS, text);
}

/** Rebuild what a peer sent; a code that is unknown here becomes `protocol`. */
export function fromWire(code: string, message: string, hint: string): PlugsideError {
  if (!isCode(code)) return new PlugsideError('protocol', `${code}: ${message}`, { hint });
  return new PlugsideError(code, '', { message, hint });
}

/** Whatever was thrown, as one of ours. */
export function asError(thrown: unknown): PlugsideError {
  if (thrown instanceof PlugsideError) return thrown;
  return new PlugsideError('internal', thrown instanceof Error ? thrown.message : String(thrown));
}

/** Of several failures the one that tells a person most: a refusal, then an impostor, then silence. */
export function telling(failures: readonly PlugsideError[]): PlugsideError {
  const rank = (failed: PlugsideError): number => {
    if (failed.branch === 'Refused') return 0;
    if (failed.code === 'untrusted_peer') return 1;
    return failed.code === 'no_path' ? 3 : 2;
  };
  return [...failures].sort((a, b) => rank(a) - rank(b))[0] ?? new PlugsideError('no_path');
}
