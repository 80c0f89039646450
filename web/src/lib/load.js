/*
 * load.js - useLoad: run an asynchronous question for a page. Gives { data, fault, slow, reload };
 * slow turns true after 300 ms, before that nothing is drawn, so that quick answers do not flicker.
 */
import { useEffect, useRef, useState } from 'preact/hooks';

export function useLoad(question, deps) {
  const [state, set_state] = useState({ data: undefined, fault: null, slow: false, busy: true });
  const turn = useRef(0);

  const run = (keep) => {
    const mine = ++turn.current;
    set_state((s) => ({ data: keep ? s.data : undefined, fault: null, slow: false, busy: true }));
    const timer = setTimeout(() => mine === turn.current && set_state((s) => ({ ...s, slow: true })), 300);
    return question().then(
      (data) => mine === turn.current && set_state({ data, fault: null, slow: false, busy: false }),
      (fault) => mine === turn.current && set_state((s) => ({ data: keep ? s.data : undefined, fault, slow: false, busy: false })),
    ).finally(() => clearTimeout(timer));
  };

  useEffect(() => {
    run(false);
    return () => { turn.current++; };
  }, deps);
  return { ...state, reload: () => run(true) };
}
