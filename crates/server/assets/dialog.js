// The server sends a dialog open, which works without this. Made modal, the focus stays inside, and
// Escape goes where the way out of the dialog goes.
for (const dialog of document.querySelectorAll(".scrim > dialog[open]")) {
	const field = dialog.querySelector("[autofocus]");
	dialog.close();
	dialog.showModal();
	field?.focus();
	dialog.addEventListener("cancel", (event) => {
		if (event.target !== dialog) return;
		event.preventDefault();
		dialog.querySelector("[data-close]")?.click();
	});
}
