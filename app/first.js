// Runs before everything else of the page. Where a browser refuses storage (private windows, pages in a frame of another site), Gradio's
// script would fail at its first look: a stand-in remembers until the tab is closed.
for (const name of ["localStorage", "sessionStorage"]) {
  try {
    window[name].setItem("nextgpt-probe", "1");
    window[name].removeItem("nextgpt-probe");
  } catch {
    const kept = new Map();
    const storage = {
      getItem: (key) => kept.get(String(key)) ?? null,
      setItem: (key, value) => void kept.set(String(key), String(value)),
      removeItem: (key) => void kept.delete(String(key)),
      clear: () => kept.clear(),
      key: (index) => [...kept.keys()][index] ?? null,
      get length() { return kept.size; },
    };
    Object.defineProperty(window, name, { value: storage, configurable: true });
    window.nextgptForgets = true;
  }
}
