/** Icons: drawn with the text's colour, never alone: a word stands beside each, so they are hidden from readers. */
import type { JSX } from 'preact';

const PATHS = {
  back: 'M15 5l-7 7 7 7',
  next: 'M9 5l7 7-7 7',
  close: 'M6 6l12 12M18 6L6 18',
  bolt: 'M13 2L5 13.5h6L10.5 22 19 10h-6z',
  plug: 'M9 3v5M15 3v5M6.5 8h11v3.5a5.5 5.5 0 0 1-11 0zM12 17v4',
  check: 'M5 12.5l4.5 4.5L19 7.5',
  car: 'M4 16v-3l2-5.5h12L20 13v3M3.5 16h17M7 16v2M17 16v2M7 13h.01M17 13h.01',
  pause: 'M9 6v12M15 6v12',
  clock: 'M12 7v5l3.5 2M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17z',
  lock: 'M7 11V8a5 5 0 0 1 10 0v3M5.5 11h13v9h-13z',
  unlock: 'M7 11V8a5 5 0 0 1 9.6-2M5.5 11h13v9h-13z',
  alert: 'M12 4L2.8 20h18.4zM12 10v4.5M12 17.2v.1',
  off: 'M6 6l12 12M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17z',
  question: 'M9 9.2a3 3 0 1 1 4.3 2.7c-.9.5-1.3 1-1.3 2M12 17.2v.1M12 3.5a8.5 8.5 0 1 1 0 17 8.5 8.5 0 0 1 0-17z',
  home: 'M4 11l8-7 8 7v9h-5.5v-6h-5v6H4z',
  cloud: 'M7.5 18a4.5 4.5 0 0 1-.4-9 5.5 5.5 0 0 1 10.6 1.3A3.9 3.9 0 0 1 17.3 18z',
  cut: 'M7.5 18a4.5 4.5 0 0 1-1.3-8.8M9.6 6.4a5.5 5.5 0 0 1 8.1 3.9 3.9 3.9 0 0 1 2 6.6M4 4l16 16',
  history: 'M4 12a8 8 0 1 0 2.6-5.9M4 4v4.5h4.5M12 8v4.5l3 1.7',
  settings: 'M4 7h9M17 7h3M4 17h3M11 17h9M15 5a2 2 0 1 1 0 4 2 2 0 0 1 0-4zM9 15a2 2 0 1 1 0 4 2 2 0 0 1 0-4z',
  camera: 'M4 8h3.5L9 5.5h6L16.5 8H20v11H4zM12 10.2a3.3 3.3 0 1 1 0 6.6 3.3 3.3 0 0 1 0-6.6z',
  gauge: 'M4.5 18a9 9 0 1 1 15 0M12 13l4-4.5',
  hand: 'M8 12V6a1.5 1.5 0 0 1 3 0V4.5a1.5 1.5 0 0 1 3 0V6a1.5 1.5 0 0 1 3 0v8a6 6 0 0 1-11 3.3L4 14a1.6 1.6 0 0 1 2.6-1.8z',
  receipt: 'M6 3.5h12v17l-3-1.8-3 1.8-3-1.8-3 1.8zM9 8.5h6M9 12.5h6',
  search: 'M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM15.5 15.5L20.5 20.5',
  people: 'M9 5a3.3 3.3 0 1 1 0 6.6A3.3 3.3 0 0 1 9 5zM3 19.5c0-3.5 2.7-5.5 6-5.5s6 2 6 5.5M16 5.4a3.2 3.2 0 0 1 0 6M17.5 14.3c2.2.7 3.5 2.6 3.5 5.2',
  plus: 'M12 5v14M5 12h14',
  reload: 'M20 12a8 8 0 1 1-2.6-5.9M20 4v4.5h-4.5',
  download: 'M12 4v11M7.5 11l4.5 4.5 4.5-4.5M5 20h14',
  wrench: 'M14.5 6.5a4.5 4.5 0 0 0-6 5.6L3.5 17a2 2 0 0 0 3 3l5-5a4.5 4.5 0 0 0 5.600-6l-3 3-2.600-2.600z',
} as const;

export type IconName = keyof typeof PATHS;

/** One icon. `size` in rem. */
export function Icon({ name, size = 1.5 }: { name: IconName; size?: number | undefined }): JSX.Element {
  return (
    <svg
      class="icon"
      width={`${size * 16}`}
      height={`${size * 16}`}
      viewBox="0 0 24 24"
      fill="none"
      stroke="currentColor"
      stroke-width="1.9"
      stroke-linecap="round"
      stroke-linejoin="round"
      aria-hidden="true"
      focusable="false"
    >
      <path d={PATHS[name]} />
    </svg>
  );
}
