/*
 * main.jsx - start: language and session side by side, then the shell.
 */
import { render } from 'preact';
import { load_language } from './lib/i18n.js';
import { load_session } from './lib/session.js';
import { start_router } from './lib/router.js';
import { App, Dead } from './app.jsx';

start_router();
const root = document.getElementById('root');
const words = load_language();
load_session().then(
  () => words.then(() => render(<App />, root)),
  (fault) => words.then(() => render(<Dead fault={fault} />, root)),
);
