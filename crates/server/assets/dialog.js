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

// A form that makes something once is sent once, also by a double click; the server makes sure of it.
for (const form of document.querySelectorAll("form[data-once]")) {
	let sent = false;
	form.addEventListener("submit", (event) => {
		if (sent) event.preventDefault();
		sent = true;
	});
	// Shown again by Back, it can be sent again.
	addEventListener("pageshow", () => (sent = false));
}
