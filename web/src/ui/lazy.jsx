/*
 * lazy.jsx - a page that is loaded when it is first shown.
 */
import { useEffect, useState } from 'preact/hooks';
import { Loading, Trouble } from './parts.jsx';
import { t } from '../lib/i18n.js';

export function lazy(load) {
  let Page = null;
  const fetch_page = () => load().then((m) => { Page = m.default; });
  function Lazy(props) {
    const [state, set_state] = useState(Page ? 'ready' : 'wait');
    useEffect(() => {
      if (Page) return undefined;
      let alive = true;
      const timer = setTimeout(() => alive && set_state((s) => (s === 'wait' ? 'slow' : s)), 300);
      fetch_page().then(() => alive && set_state('ready'), () => alive && set_state('failed')).finally(() => clearTimeout(timer));
      return () => { alive = false; };
    }, []);
    if (Page) return <Page {...props} />;
    if (state === 'failed') return <Trouble fault={{ title: t('fault.chunk'), detail: t('fault.chunk.cure') }} again={() => location.reload()} />;
    return <Loading slow={state === 'slow'} />;
  }
  Lazy.warm = fetch_page;
  return Lazy;
}
