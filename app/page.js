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
  }, true);

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
