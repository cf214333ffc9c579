/** The driver's words, in the language in use. */
import { dictionary } from '../i18n';
import { de } from './words.de';
import { en } from './words.en';

export const driverWords = dictionary(en, de);
export type DriverWords = ReturnType<typeof driverWords>;
