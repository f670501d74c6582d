// Copies and downloads what is shown once, and asks before it is closed unsaved.
const box = document.querySelector(".secret-box");
const secret = box?.querySelector(".secret");
const said = document.querySelector("[data-said]");
const leave = document.getElementById("leave");
let saved = false;

function say(button, text) {
	const label = button.querySelector("[data-label]") ?? button;
	const before = button.dataset.before ?? label.textContent;
	button.dataset.before = before;
	label.textContent = text;
	if (said) said.textContent = text;
	clearTimeout(button.timer);
	button.timer = setTimeout(() => {
		label.textContent = before;
		if (said) said.textContent = "";
	}, 3000);
}

async function copy(button) {
	const source = document.getElementById(button.dataset.copy);
	try {
		await navigator.clipboard.writeText(source.textContent);
	} catch {
		// Without https the browser has no clipboard for pages: select it, so that a key copies it.
		box.querySelector("[type=checkbox]").checked = true;
		getSelection().selectAllChildren(source);
		say(button, "Press Ctrl+C");
		return;
	}
	if (source === secret) saved = true;
	say(button, "Copied");
}

function download(button) {
	const link = document.createElement("a");
	const file = new Blob([`${secret.textContent}\n`], { type: "text/plain" });
	link.href = URL.createObjectURL(file);
	link.download = button.dataset.download;
	link.click();
	setTimeout(() => URL.revokeObjectURL(link.href), 1000);
	saved = true;
	say(button, "Downloaded");
}

if (secret) {
	for (const button of document.querySelectorAll("[data-copy], [data-download]")) {
		button.hidden = false;
		button.addEventListener("click", () => (button.dataset.copy ? copy(button) : download(button)));
	}
	document.querySelector("[data-copy][autofocus]")?.focus();
	// Copied by hand is saved, too.
	secret.addEventListener("copy", () => (saved = true));
	for (const way of document.querySelectorAll("[data-close]")) {
		way.addEventListener("click", (event) => {
			if (saved || !leave) return;
			event.preventDefault();
			leave.showModal();
		});
	}
	leave?.querySelector("[data-stay]")?.addEventListener("click", () => leave.close());
	leave?.querySelector("[data-leave]")?.addEventListener("click", () => (saved = true));
	addEventListener("beforeunload", (event) => {
		if (!saved) event.preventDefault();
	});
	// Back must not bring it up again out of the browser's memory.
	addEventListener("pagehide", () => {
		secret.textContent = "";
	});
}
