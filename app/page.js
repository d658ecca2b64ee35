// What Gradio has no hook for: buttons inside answers, and three keys. Everything else is in Python.
(() => {
  // A button in an answer carries data-nx="verb:where"; a hidden text box takes it to Python. The number makes each press a change.
  let presses = 0;
  document.addEventListener("click", (event) => {
    const button = event.target.closest?.("[data-nx]");
    const field = document.querySelector("#nx-action textarea, #nx-action input");
    if (!button || !field) return;
    event.stopPropagation();
    field.value = `${button.dataset.nx}#${++presses}`;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new KeyboardEvent("keypress", { key: "Enter", bubbles: true }));
  }, true);

  // What Gradio leaves without a name for screen readers: pictures that open, groups with a label, icons that act as buttons.
  const names = {
    "#nx-chat .image-container > button:not([aria-label])": (button) => {
      button.setAttribute("aria-label", document.documentElement.lang.startsWith("zh") ? "放大图片" : "Enlarge the picture");
    },
    "#nx-chat [data-testid=bot][aria-label]:not([role]), #nx-chat [data-testid=user][aria-label]:not([role])": (group) => group.setAttribute("role", "group"),
    "#nx-chat .examples[role=list]": (list) => list.removeAttribute("role"), // its children are buttons
    "#nx-chat .minimal-audio-player[aria-label]:not([role])": (group) => group.setAttribute("role", "group"),
  };
  const label = () => {
    for (const [selector, name] of Object.entries(names)) document.querySelectorAll(selector).forEach(name);
  };
  let labelling = 0;
  new MutationObserver(() => {
    labelling ||= setTimeout(() => { labelling = 0; label(); }, 200);
  }).observe(document.documentElement, { childList: true, subtree: true });

  // On a narrow screen the conversations would cover everything: they start folded away.
  const fold = setInterval(() => {
    const left = document.querySelector("#nx-left");
    if (!left) return;
    clearInterval(fold);
    if (window.innerWidth < 768 && left.classList.contains("open")) left.querySelector(".toggle-button")?.click();
  }, 50);

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, [contenteditable]");
    if (event.key === "Escape") document.querySelector("#nx-box .stop-button")?.click();
    else if (event.key === "/" && !typing) {
      event.preventDefault();
      document.querySelector("#nx-box textarea")?.focus();
    } else if (event.key.toLowerCase() === "o" && event.shiftKey && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      document.querySelector("#nx-new")?.click();
    }
  });
})();
