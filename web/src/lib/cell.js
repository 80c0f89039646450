/*
 * cell.js - a value that pages can watch. The whole of our state management: a cell is read with
 * get(), written with set(), and useCell(cell) renders a component again when it changes.
 */
import { useEffect, useReducer } from 'preact/hooks';

export function cell(value) {
  const subs = new Set();
  return {
    get: () => value,
    set(next) {
      value = next;
      for (const f of [...subs]) f();
    },
    watch(f) {
      subs.add(f);
      return () => subs.delete(f);
    },
  };
}

export function useCell(c) {
  const [, bump] = useReducer((n) => n + 1, 0);
  useEffect(() => {
    const seen = c.get();
    const stop = c.watch(bump);
    if (c.get() !== seen) bump();
    return stop;
  }, [c]);
  return c.get();
}
