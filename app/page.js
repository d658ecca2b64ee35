// What Gradio has no hook for: a tab's own memory, buttons inside answers, names for screen readers, three keys. The rest is in Python.

// What a tab keeps through a reload, the back button and a restart of the server: its unsent message and its conversation's name.
// A browser may refuse, or have no room: then nothing is kept, and everything else works.
const memory = {
  set: (name, value) => { try { sessionStorage.setItem(name, value); } catch {} },
  get: (name) => { try { return sessionStorage.getItem(name); } catch { return null; } },
};
const nextgpt = {
  opened: false,
  keepDraft: (message) => memory.set("nextgpt-draft", JSON.stringify(message)),
  draft: () => {
    nextgpt.opened = true;
    return JSON.parse(memory.get("nextgpt-draft")) ?? { text: "", files: [] };
  },
  keepPlace: (place) => memory.set("nextgpt-place", place ?? ""),
  place: () => memory.get("nextgpt-place") ?? "",
  // What the server is told of the message box while somebody writes: its files, and whether the content is the one it gave.
  held: (message, touched) => {
    nextgpt.keepDraft(message);
    const files = (message?.files ?? []).map((file) => file.path);
    return files.length ? JSON.stringify([touched, ...files]) : "";
  },
};
// Without a connection Gradio handles no events: what was written since then is taken along when it loads the page again.
addEventListener("pagehide", () => {
  const box = document.querySelector("#nx-box textarea");
  if (nextgpt.opened && box) nextgpt.keepDraft({ ...nextgpt.draft(), text: box.value });
});

// A sentence for a person, shown for a while.
const hint = (english, chinese) => {
  const note = document.createElement("p");
  note.className = "nx-hint";
  note.setAttribute("role", "status");
  note.textContent = navigator.language.startsWith("zh") ? chinese : english;
  document.body.append(note);
  setTimeout(() => note.remove(), 12000);
};
if (window.nextgptForgets) {
  hint("This browser keeps nothing for this page: export what you want to keep before you close it.",
    "此浏览器不保存本页内容:关闭前请导出需要保留的对话。");
}

// A microphone or camera that cannot be had: Gradio says nothing, or a name from its own code.
const unheard = {
  insecure: ["Browsers lend microphone and camera only to pages on https or on this computer itself: open the page at https://… or http://127.0.0.1.",
    "浏览器只允许 https 页面或本机页面使用麦克风和摄像头:请通过 https://… 或 http://127.0.0.1 打开。"],
  NotAllowedError: ["The browser was not allowed to use the microphone or camera: allow it in the address bar's permissions and try again.",
    "浏览器未获准使用麦克风或摄像头:请在地址栏的权限中允许后重试。"],
  NotFoundError: ["No microphone or camera was found: connect one and try again, or add a file.", "未找到麦克风或摄像头:请连接后重试,或添加文件。"],
  NotReadableError: ["The microphone or camera is in use by another program: close that and try again.", "麦克风或摄像头正被其他程序占用:请关闭后重试。"],
};
if (navigator.mediaDevices?.getUserMedia) {
  const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = (wanted) => ask(wanted).catch((error) => {
    hint(...(unheard[error.name] ?? unheard.NotFoundError));
    throw error;
  });
} else {
  document.addEventListener("click", (event) => {
    if (!event.target.closest?.("#nx-box .microphone-button, #nx-box button[aria-label*=icrophone], #nx-camera button")) return;
    event.stopPropagation();
    event.preventDefault();
    hint(...unheard.insecure);
  }, true);
}

(() => {
  // Gradio notices that the server was started again only when the next event fails or goes to one that knows nothing of this tab.
  let server = null;
  const isSame = async () => {
    if (document.hidden) return;
    const answer = await fetch("gradio_api/app_id").then((found) => (found.ok ? found.text() : null), () => null);
    server ??= answer;
    if (answer !== null && answer !== server) location.reload();
  };
  isSame();
  setInterval(isSame, 5000);

  // A button in an answer carries data-nx="verb:where"; a hidden text box takes it to Python. The number makes each press a change.
  let presses = 0;
  document.addEventListener("click", (event) => {
    const verb = event.target.closest?.("[data-nx]")?.dataset.nx ?? editOfFiles(event.target);
    const field = document.querySelector("#nx-action textarea, #nx-action input");
    if (!verb || !field) return;
    event.stopPropagation();
    field.value = `${verb}#${++presses}`;
    field.dispatchEvent(new Event("input", { bubbles: true }));
    field.dispatchEvent(new KeyboardEvent("keypress", { key: "Enter", bubbles: true }));
  }, true);

  // Gradio's own edit fails on a message that begins with a file: such a message goes back into the message box instead.
  const editOfFiles = (target) => {
    const row = target.closest?.("#nx-chat button:has(.feather-edit-2)")?.closest(".message-buttons")?.previousElementSibling;
    if (!row?.matches(".user-row:has(.component-wrap)")) return null;
    return `edit:${[...document.querySelectorAll("#nx-chat .user-row")].indexOf(row)}`;
  };

  // A picture opens by its own fullscreen button, and closes where it is pressed again.
  document.addEventListener("click", (event) => {
    const picture = event.target.closest?.("#nx-chat .image-container > button")?.parentElement;
    if (!picture) return;
    if (document.fullscreenElement) document.exitFullscreen();
    else picture.querySelector(".icon-button-wrapper button")?.click();
  });

  // Files may be dropped anywhere on the page: they go into the message box. Left to the browser they would replace the page.
  const files = (event) => event.dataTransfer?.types.includes("Files") && !event.target.closest?.("#nx-box, #nx-left");
  document.addEventListener("dragover", (event) => files(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!files(event)) return;
    event.preventDefault();
    const { dataTransfer } = event;
    document.querySelector("#nx-box textarea")?.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
  });

  // What Gradio leaves without a name for screen readers: pictures that open, groups with a label, icons that act as buttons.
  const names = {
    "#nx-chat .image-container > button:not([aria-label])": (button) => {
      button.setAttribute("aria-label", navigator.language.startsWith("zh") ? "放大图片" : "Enlarge the picture");
    },
    "#nx-chat [data-testid=bot][aria-label]:not([role]), #nx-chat [data-testid=user][aria-label]:not([role])": (group) => group.setAttribute("role", "group"),
    "#nx-chat .examples[role=list]": (list) => list.removeAttribute("role"), // its children are buttons
    "#nx-box [role=listitem], .thumbnail-wrapper[role=listitem]": (file) => file.setAttribute("role", "group"), // there is no list around it
    "#nx-chat .minimal-audio-player[aria-label]:not([role])": (group) => group.setAttribute("role", "group"),
  };
  // Sentences that Gradio has in English only.
  const phrases = [
    [/^File\(s\) exceed the maximum allowed size of (.+?): (.+)$/s, "文件超过上限($1):$2"],
    [/^Connection to the server was lost\..*$/s, "与服务器的连接已断开,正在重新连接…"],
    [/^Connection Lost$/, "连接已断开"],
  ];
  const translate = (words) => {
    const sentence = words.data.trim();
    for (const [english, chinese] of phrases) if (english.test(sentence)) words.data = sentence.replace(english, chinese);
  };
  const label = () => {
    for (const [selector, name] of Object.entries(names)) document.querySelectorAll(selector).forEach(name);
    if (!navigator.language.startsWith("zh")) return;
    for (const toast of document.querySelectorAll(".toast-body")) {
      const texts = document.createTreeWalker(toast, NodeFilter.SHOW_TEXT);
      while (texts.nextNode()) translate(texts.currentNode);
    }
  };
  let labelling = 0;
  new MutationObserver(() => {
    labelling ||= setTimeout(() => { labelling = 0; label(); }, 200);
  }).observe(document.documentElement, { childList: true, subtree: true });

  // Gradio's camera ignores its button until the first frame is there: the button shows when it works (page.css).
  for (const [event, live] of [["loadeddata", true], ["emptied", false]]) {
    document.addEventListener(event, ({ target }) => target.closest?.("#nx-camera") && target.toggleAttribute("data-live", live), true);
  }

  // On a narrow screen the conversations would cover everything: they start folded away.
  const fold = setInterval(() => {
    const left = document.querySelector("#nx-left");
    if (!left) return;
    clearInterval(fold);
    if (window.innerWidth < 768 && left.classList.contains("open")) left.querySelector(".toggle-button")?.click();
  }, 50);

  // On a telephone Enter breaks the line, as its keyboard says; the button sends.
  if (matchMedia("(pointer: coarse) and (hover: none)").matches) {
    for (const kind of ["keydown", "keypress"]) {
      document.addEventListener(kind, (event) => {
        if (event.key === "Enter" && event.target.matches?.("#nx-box textarea")) event.stopPropagation();
      }, true);
    }
  }

  document.addEventListener("keydown", (event) => {
    const typing = event.target.closest?.("input, textarea, [contenteditable]");
    if (event.isComposing || event.keyCode === 229) return; // the key is for a word that is being put together, such as a Chinese one
    if (event.key === "Escape" && !(typing && !typing.closest("#nx-box"))) document.querySelector("#nx-box .stop-button")?.click();
    else if (event.key === "/" && !typing) {
      event.preventDefault();
      document.querySelector("#nx-box textarea")?.focus();
    } else if (event.key.toLowerCase() === "o" && event.shiftKey && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      document.querySelector("#nx-new")?.click();
    }
  });
})();
