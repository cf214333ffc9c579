/** The operator's words in the language in use. */
import { dictionary } from '../i18n';
import { de } from './words.de';
import { en } from './words.en';

export const operatorWords = dictionary(en, de);

/** The words for a code, or the code itself where a newer site has one that is not known here. */
export function wordFor(words: Readonly<Record<string, string>>, code: string): string {
  return words[code] ?? code.replaceAll('_', ' ');
}
