/*
 * icons.jsx - the mark and the few icons, as paths in the source. All take the text colour and are
 * hidden from assistive technology: a word stands beside each, or on its button.
 */
const PATHS = {
  search: 'M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.3 10.3 14 14',
  menu: 'M2 4h12M2 8h12M2 12h12',
  close: 'M3.5 3.5l9 9M12.5 3.5l-9 9',
  copy: 'M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z',
  tick: 'M3 8.5l3.2 3.2L13 4.5',
  cross: 'M4 4l8 8M12 4l-8 8',
  dash: 'M4 8h8',
  warn: 'M8 2.2 14.6 13.5H1.4zM8 6.5v3.2M8 11.4v.4',
  refresh: 'M13.2 8a5.2 5.2 0 1 1-1.6-3.8M13.4 1.8v3h-3',
  plus: 'M8 3v10M3 8h10',
  right: 'M6 3.5 10.5 8 6 12.5',
  down: 'M3.5 6 8 10.5 12.5 6',
  left: 'M10 3.5 5.5 8l4.5 4.5',
  eye: 'M1.5 8S4 3.8 8 3.8 14.5 8 14.5 8 12 12.2 8 12.2 1.5 8 1.5 8zM8 6.2a1.8 1.8 0 1 0 0 3.6 1.8 1.8 0 0 0 0-3.6z',
  download: 'M8 2.5v7M4.8 6.6 8 9.8l3.2-3.2M3 13h10',
  key: 'M4.6 5.4a2.6 2.6 0 1 0 0 5.2 2.6 2.6 0 0 0 0-5.2zM7.2 8H14v2.6M11 8v2',
};

export function Icon({ name }) {
  return (
    <svg class="icon" viewBox="0 0 16 16" width="16" height="16" fill="none" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" focusable="false">
      <path d={PATHS[name]} />
    </svg>
  );
}

/* An arch with a keyhole, one path. */
export function Mark({ size = 20 }) {
  return (
    <svg class="mark" viewBox="0 0 32 32" width={size} height={size} aria-hidden="true" focusable="false">
      <path fill="currentColor" fill-rule="evenodd" d="M3 30V15a13 13 0 0 1 26 0v15zM16 10.5a4.25 4.25 0 0 0-2.3 7.83L12 25.5h8l-1.7-7.17A4.25 4.25 0 0 0 16 10.5z" />
    </svg>
  );
}
