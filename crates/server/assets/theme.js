// Switches the colour scheme without loading the page again, once the same form as without this module has set the cookie.
const form = document.getElementById("theme");

form?.addEventListener("submit", async (event) => {
	event.preventDefault();
	const { submitter } = event;
	form.hidePopover?.();
	const answer = await fetch(form.action, {
		method: "POST",
		body: new URLSearchParams(new FormData(form, submitter)),
		redirect: "manual",
	}).catch(() => undefined);
	// What wasn't kept must not look kept: the next page would take it back.
	if (answer?.type !== "opaqueredirect") {
		location.reload();
		return;
	}
	const chosen = submitter.value;
	if (chosen === "system") delete document.documentElement.dataset.theme;
	else document.documentElement.dataset.theme = chosen;
	for (const button of form.querySelectorAll("[name=theme]")) {
		button.setAttribute("aria-pressed", String(button.value === chosen));
	}
	const icon = (element) => element.querySelector("use");
	icon(form.previousElementSibling).setAttribute("href", icon(submitter).getAttribute("href"));
});
