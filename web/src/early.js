/*
 * early.js - runs before anything is painted, so that a stored theme or language does not flash.
 * Reads two stored choices, writes two attributes, nothing else.
 */
try {
  const p = JSON.parse(localStorage.getItem('postern') || '{}');
  if (p.theme === 'light' || p.theme === 'dark') document.documentElement.dataset.theme = p.theme;
  if (p.lang) document.documentElement.lang = p.lang;
} catch {
  /* storage switched off: the system decides */
}
