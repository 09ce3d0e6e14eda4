"use strict";
// The only script: a button copies its command and says so.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-copy]");
  if (!button) return;
  const text = button.dataset.copy;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Clipboards need HTTPS or localhost: select the command instead, for the user to copy.
    getSelection().selectAllChildren(button.previousElementSibling);
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 1500);
});
