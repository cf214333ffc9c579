/**
 * Languages: which one is spoken, and dictionaries that cannot lack a word.
 *
 * A dictionary is two objects of one shape, English first: `dictionary(en, de)` gives a function that returns the
 * words of the language in use, and a missing or surplus key does not compile. Reading it inside a component
 * follows the language. Plurals go through `plural`, numbers and times through `format`.
 */
import { signal } from '@preact/signals';
import { kept, keep } from './kept';

export const LANGUAGES = ['en', 'de'] as const;
export type Language = (typeof LANGUAGES)[number];

/** The shape that another language has to fill: the same keys, texts where there are texts. */
export type Words<T> = {
  [K in keyof T]: T[K] extends string
    ? string
    : T[K] extends (...args: infer A) => string
      ? (...args: A) => string
      : Words<T[K]>;
};

function isLanguage(text: string | undefined): text is Language {
  return LANGUAGES.some((one) => one === text);
}

/** The language that fits best what a browser asks for; English when none does. */
export function fitting(wanted: readonly string[]): Language {
  for (const tag of wanted) {
    const base = tag.split('-')[0]?.toLowerCase();
    if (isLanguage(base)) return base;
  }
  return 'en';
}

/** What the browser asks for, best first. */
function asked(): readonly string[] {
  return typeof navigator === 'undefined' ? [] : navigator.languages;
}

const chosen = kept('language');

/** The language in use. Changed by `speak`. */
export const language = signal<Language>(isLanguage(chosen) ? chosen : fitting(asked()));

/** Use this language from now on, on this device. */
export function speak(one: Language): void {
  language.value = one;
  keep('language', one);
}

/** The browser's own variant of the language, which knows how the reader writes times and numbers. */
export function locale(one: Language = language.value): string {
  const own = asked().find((tag) => tag.toLowerCase().startsWith(`${one}-`));
  return own ?? { en: 'en-GB', de: 'de-DE' }[one];
}

/** The words of the language in use. `de` must have exactly the keys of `en`. */
export function dictionary<T extends object>(en: T, de: Words<NoInfer<T>>): () => Words<T> {
  const all: Record<Language, Words<T>> = { en: en as Words<T>, de };
  return () => all[language.value];
}

export type Forms = { one: string; other: string };

/** The form that a number takes in a language ('1 charger', '3 chargers'). */
export function plural(one: Language, count: number, forms: Forms): string {
  return new Intl.PluralRules(one).select(count) === 'one' ? forms.one : forms.other;
}
